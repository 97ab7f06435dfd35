// Requests to the server that this page came from.

const CLIENT = Math.random().toString(36).slice(2, 10);
const KEPT = 96;
const arrays = new Map();
const controllers = new Map();

export class ApiError extends Error {
  constructor(error, status) {
    super(error?.message ?? `the server answered ${status}`);
    this.code = error?.code ?? null;
    this.status = status;
  }
}

/** Ask the server; a request takes the place of an earlier one in the same slot, which nobody waits for any more. */
async function ask(path, options, slot) {
  const headers = { ...(options.headers ?? {}), ...(slot ? { "x-slot": `${CLIENT}:${slot}` } : {}) };
  const controller = new AbortController();
  if (slot) {
    controllers.get(slot)?.abort();
    controllers.set(slot, controller);
  }
  let response;
  try {
    response = await fetch(`/api/inspect/${path}`, { ...options, headers, signal: controller.signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ message: "the server does not answer; is `glassformer inspect` still running?", code: "gone" }, 0);
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw new ApiError(body.error, response.status);
  }
  return response;
}

const query = (parameters) => {
  const text = new URLSearchParams(parameters).toString();
  return text ? `?${text}` : "";
};

export async function getJson(path, parameters = {}, slot = "") {
  return (await ask(path + query(parameters), {}, slot)).json();
}

export async function post(path, body, slot = "") {
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return (await ask(path, options, slot)).json();
}

/** An array {data, shape, site, note(name)}; float32. What was fetched lately is not fetched again. */
export async function getArray(path, parameters = {}, slot = "") {
  const address = path + query(parameters);
  const known = arrays.get(address) ?? fetchArray(address, slot);
  arrays.delete(address);
  arrays.set(address, known);
  if (arrays.size > KEPT) arrays.delete(arrays.keys().next().value);
  try {
    return await known;
  } catch (error) {
    arrays.delete(address);
    throw error;
  }
}

async function fetchArray(address, slot) {
  const response = await ask(address, {}, slot);
  const data = new Float32Array(await response.arrayBuffer());
  const shape = response.headers.get("x-shape").split(",").filter(Boolean).map(Number);
  return { data, shape, site: response.headers.get("x-site"), note: (name) => response.headers.get(`x-${name}`) };
}

/** Errors that mean only that something newer is under way. */
export const isStale = (error) => error.name === "AbortError" || error.code === "superseded";
