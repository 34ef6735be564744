// How long to wait before the next try: longer each time up to 10 s, and never all clients at once.

export function delayMs(tries) {
  return Math.min(250 * 2 ** tries, 10_000) * (0.5 + Math.random() / 2);
}
