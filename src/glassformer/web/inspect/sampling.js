// The filters of sampling over logits that are already here: temperature, top-k, top-p, min-p, in the order in which
// generation applies them. Cut tokens say which filter cut them.

const orders = new WeakMap();
const shares = new WeakMap();
const IDS = 2 ** 21; // more than any vocabulary has; with 32 bits of logit before it, a key is a whole number in a double

/**
 * Ids by descending logit, equal ones by id. Each logit and its id become one number in that order, because numbers are
 * sorted natively, many times as fast as with a function that compares.
 */
export function ranked(logits) {
  if (orders.has(logits)) return orders.get(logits);
  const bits = new Uint32Array(Float32Array.from(logits).buffer);
  const keys = Float64Array.from(bits, (code, id) => {
    const rising = code >>> 31 ? ~code >>> 0 : (code | 0x80000000) >>> 0; // float order as integer order
    return (0xffffffff - rising) * IDS + id;
  });
  const ids = Uint32Array.from(keys.sort(), (key) => key - Math.floor(key / IDS) * IDS);
  orders.set(logits, ids);
  return ids;
}

/** Probabilities at temperature 1, [vocab_size]. */
export function softmax(logits) {
  if (!shares.has(logits)) shares.set(logits, normalised(logits));
  return shares.get(logits);
}

function normalised(logits) {
  let most = -Infinity;
  for (const value of logits) if (value > most) most = value;
  const found = new Float64Array(logits.length);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += found[i] = Math.exp(logits[i] - most);
  for (let i = 0; i < logits.length; i++) found[i] /= sum;
  return found;
}

/** The most probable `count` tokens: {id, rank, before, after, cut}; `after` is 0 and `cut` the filter's name for cut ones. */
export function filtered(logits, { temperature, top_k, top_p, min_p }, count) {
  const order = ranked(logits);
  const before = softmax(logits);
  const most = logits[order[0]];
  const greedy = temperature === 0;
  const weight = (id) => (greedy ? Number(id === order[0]) : Math.exp((logits[id] - most) / temperature));
  const limit = top_k > 0 ? Math.min(top_k, order.length) : order.length;
  let total = 0;
  for (let rank = 0; rank < limit; rank++) total += weight(order[rank]);
  const goal = top_p < 1 ? total * top_p : Infinity;
  const rows = [];
  let kept = 0;
  let running = 0;
  let left = 0;
  for (let rank = 0; rank < order.length; rank++) {
    const id = order[rank];
    const share = rank < limit || rank < count ? weight(id) : 0;
    let cut = null;
    if (greedy && rank > 0) cut = "temperature 0";
    else if (rank >= limit) cut = "top-k";
    else if (rank > 0 && running >= goal) cut = "top-p";
    else if (share < min_p) cut = "min-p";
    if (rank < limit) running += share;
    if (!cut) { kept += share; left += 1; }
    if (rank < count) rows.push({ id, rank, before: before[id], after: cut ? 0 : share, cut });
    else if (rank >= limit || (cut && cut !== "min-p")) break;
  }
  for (const row of rows) row.after /= kept;
  return { rows, left };
}

/** Entropy in bits of a distribution. */
export function entropy(probabilities) {
  let sum = 0;
  for (const p of probabilities) if (p > 0) sum -= p * Math.log2(p);
  return sum;
}
