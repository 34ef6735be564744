// Plays a dialogue with the npm package `ws`: node speaker.mjs <address of the package>, the dialogue on stdin.
// Says what it hears in lines of JSON, as speaker.py does.

import { text } from "node:stream/consumers";

const { WebSocket } = await import(process.argv[2]);
const { url, protocols, steps } = JSON.parse(await text(process.stdin));
const report = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

let heard = [];
let runId = "";
let wake = () => {};
const socket = new WebSocket(url, protocols);
const opened = new Promise((resolve) => {
  socket.on("open", () => {
    report({ opened: socket.protocol });
    resolve();
  });
});
socket.on("message", (content) => {
  const message = JSON.parse(content);
  report({ heard: message });
  heard.push(message.type);
  if (message.type === "agent_execution_started") runId = message.runId;
  wake();
});
socket.on("pong", (content) => report({ pong: content.toString() }));
const closed = new Promise((resolve) => {
  socket.on("close", (code, reason) => {
    report({ closed: code, reason: reason.toString() });
    resolve();
  });
});

await opened;
for (const [verb, argument] of steps) {
  if (verb === "until") {
    while (!heard.includes(argument)) await new Promise((resolve) => (wake = resolve));
    heard = heard.slice(heard.indexOf(argument) + 1);
  } else if (verb === "say") {
    const words = typeof argument === "string" ? argument : JSON.stringify(argument);
    socket.send(words.replaceAll("$runId", runId));
  } else if (verb === "ping") {
    const answered = new Promise((resolve) => socket.once("pong", resolve));
    socket.ping(argument);
    await answered;
  } else if (verb === "close") {
    socket.close(argument);
  }
}
await closed;
