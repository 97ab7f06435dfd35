// A text, continued while it is written, over the same interface as any client.

const at = (id) => document.getElementById(id);
let running = null;

const headers = () => ({
  "content-type": "application/json",
  ...(at("key").value ? { authorization: `Bearer ${at("key").value}` } : {}),
});

function say(text, wrong = false) {
  at("status").textContent = text;
  at("status").classList.toggle("wrong", wrong);
}

/** What the form asks; empty fields ask nothing. */
function asked() {
  const body = { prompt: at("prompt").value, stream: true, stream_options: { include_usage: true } };
  for (const name of ["max_tokens", "temperature", "top_p", "seed"]) {
    if (at(name).value !== "") body[name] = Number(at(name).value);
  }
  return body;
}

/** Objects of a stream of events, as they come; comments keep the line open and say nothing. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the server has stopped before the text was whole");
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      if (!part.startsWith("data: ")) continue;
      if (part === "data: [DONE]") return;
      yield JSON.parse(part.slice(6));
    }
  }
}

async function write(signal) {
  const response = await fetch("/v1/completions", {
    method: "POST", headers: headers(), body: JSON.stringify(asked()), signal,
  });
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({}));
    if (response.status === 401) at("key-label").hidden = false;
    throw new Error(error?.message ?? `the server answered ${response.status}`);
  }
  const given = document.createElement("span");
  given.className = "given";
  given.textContent = at("prompt").value;
  at("text").replaceChildren(given, document.createTextNode(""));
  const start = performance.now();
  for await (const part of events(response)) {
    if (part.error) throw new Error(part.error.message);
    if (part.choices[0]) at("text").lastChild.appendData(part.choices[0].text);
    if (!part.usage) continue;
    const { completion_tokens: count } = part.usage;
    const speed = (1000 * count) / (performance.now() - start);
    say(`${count} tokens, ${speed.toFixed(1)} per second`);
  }
}

async function go() {
  if (running || !at("prompt").value) return;
  running = new AbortController();
  at("go").disabled = true;
  at("stop").disabled = false;
  say("writing");
  try {
    await write(running.signal);
  } catch (error) {
    if (error.name === "AbortError") say("stopped");
    else say(error instanceof TypeError ? "the server does not answer; is it still running?" : error.message, true);
  } finally {
    running = null;
    at("go").disabled = false;
    at("stop").disabled = true;
  }
}

const stop = () => running?.abort();

at("form").addEventListener("submit", (event) => { event.preventDefault(); go(); });
at("stop").addEventListener("click", stop);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); go(); }
  if (event.key === "Escape") stop();
});

const health = await fetch("/health").then((response) => response.json()).catch(() => null);
at("model").textContent = health ? health.model : "the server does not answer";
fetch("/inspect/", { method: "HEAD" }).then((response) => { at("inspect").hidden = !response.ok; });
