// The page itself: what is asked, what is shown, and which transport follows which run.

import { Run } from "./run.js";
import { Socket } from "./socket.js";
import { Stream } from "./stream.js";

const KINDS = { WebSocket: Socket, EventSource: Stream };
const form = document.querySelector("form");
const cards = document.querySelector("#runs");
const template = document.querySelector("template");
const transports = {};

// The address may fill in fields, but never the token: addresses are kept in too many places.
const given = new URLSearchParams(location.search);
for (const name of ["server", "agent"]) form.elements[name].value = given.get(name) ?? form.elements[name].value;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const run = new Run(form.elements.agent.value, form.elements.question.value);
  cards.prepend(card(run, form.elements.transport.value));
});

// Made when it is first needed; all runs share it.
function transport(name) {
  transports[name] ??= new KINDS[name]({
    server: form.elements.server.value,
    // An app asks its session instead, which renews the token before it expires.
    token: async () => form.elements.token.value,
    onState: (state) => show(document.querySelector(`#${name}`), state),
    ...(given.has("patience") && { patienceMs: Number(given.get("patience")) }),
  });
  return transports[name];
}

function card(run, name) {
  const made = template.content.cloneNode(true);
  const [cancel, choice] = [made.querySelector("button"), made.querySelector("select")];
  let current = name;
  show(made.querySelector("h2"), run.order.messages[0].content);
  choice.value = name;
  choice.addEventListener("change", () => {
    transport(current).leave(run);
    current = choice.value;
    transport(current).follow(run);
  });
  cancel.addEventListener("click", () => {
    run.cancel();
    transport(current).cancel(run);
  });
  const article = made.querySelector("article");
  run.addEventListener("change", () => draw(article, run));
  draw(article, run);
  transport(name).follow(run);
  return made;
}

function draw(article, run) {
  const state = run.end ?? (run.isCancelling ? "cancelling" : run.seq > 0 ? "running" : "starting");
  article.dataset.state = state;
  show(article.querySelector(".state"), state);
  show(article.querySelector(".place"), run.seq > 0 ? `event ${run.seq}` : "");
  show(article.querySelector("output"), run.text);
  show(article.querySelector(".detail"), run.detail);
  for (const each of article.querySelectorAll("button, select")) each.disabled = run.end !== null;
}

// Never as HTML: a model may repeat what a stranger's page said.
function show(element, text) {
  element.textContent = text;
}
