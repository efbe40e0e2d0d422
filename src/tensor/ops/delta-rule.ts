/**
 * The gated delta rule: a head's state S (K x V) forgets, and learns by how much it misses each value.
 *
 *   S <- e^g S;  S <- S + k (beta (v - k S))^T;  o = q S
 *
 * Yang et al. 2024, https://arxiv.org/abs/2412.06464. Tokens are taken in chunks of 64, as there and in
 * https://arxiv.org/abs/2406.06484: inside a chunk a triangular system gives all misses e = v - k S at once,
 *
 *   e_i = v_i - lead_i k_i S - sum over j < i of A_ij e_j,   A_ij = decay(j -> i) beta_j k_i . k_j
 *   o_i =       lead_i q_i S + sum over j <= i of P_ij e_j,  P_ij = decay(j -> i) beta_j q_i . k_j
 *
 * and the state goes from chunk to chunk. The way back reads the states before chunks, and has no other per token than
 * e; memory: K V / 64 values a token and head, and 64 for each of A and P.
 */
import { foldGroups, spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { expectShape, rowsOf, showShape, sizeOf, type Tensor } from "../tensor.ts";
import { columnSums } from "./reduce.ts";

/** Tokens of a chunk; of wgsl/delta-rule. */
const CHUNK = 64;

/** Rows that a lane takes at a time; of wgsl/lib/strip.wgsl. */
const strip = ({ profile }: Recorder) => (profile.software ? { rows: 4, flags: ["narrow"] } : { rows: 8, flags: [] });

export interface DeltaRuleOptions {
  readonly batch: number;
  /** Heads of values, of g and beta. */
  readonly heads: number;
  /** Heads of queries and keys, each for several of values. */
  readonly keyHeads: number;
  /** (N) i32, from 0 in each document, where the state begins at 0; below 0: padding at the end of a row. */
  readonly positions: Tensor;
  /** Decoding: the state (batch, heads, K, V) before the first token is read, and replaced by the last one. */
  readonly state?: Tensor | undefined;
}

/** What a token reads and writes. */
export interface DeltaRuleInputs {
  /** (N, keyHeads * K) each. */
  readonly q: Tensor;
  readonly k: Tensor;
  /** (N, heads * V) */
  readonly v: Tensor;
  /** (N, heads): logarithms of the decays, at most 0. */
  readonly g: Tensor;
  /** (N, heads): strength of writing. */
  readonly beta: Tensor;
}

interface Sizes {
  readonly batch: number;
  readonly t: number;
  readonly chunks: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly dk: number;
  readonly dv: number;
}

function sizesOf({ q, k, v, g, beta }: DeltaRuleInputs, options: DeltaRuleOptions): Sizes {
  const { batch, heads, keyHeads, positions } = options;
  const { rows: n, width } = rowsOf(q);
  const [t, dk, dv] = [n / batch, width / keyHeads, rowsOf(v).width / heads];
  if (![t, dk, dv, heads / keyHeads].every(Number.isInteger) || rowsOf(v).rows !== n || sizeOf(positions.shape) !== n)
    throw new RangeError(
      `delta rule: q ${showShape(q.shape)}, v ${showShape(v.shape)} for ${keyHeads} and ${heads} heads, batch ${batch}`,
    );
  expectShape(k, q.shape, "keys of a delta rule");
  for (const x of [g, beta]) expectShape(x, [n, heads], "gates of a delta rule");
  return { batch, t, chunks: Math.ceil(t / CHUNK), heads, keyHeads, dk, dv };
}

/** What is computed once and read on both ways. */
interface Chunked extends Sizes {
  readonly inputs: DeltaRuleInputs;
  readonly positions: Tensor;
  readonly decay: Tensor;
  readonly lead: Tensor;
  readonly tail: Tensor;
  readonly written: Tensor;
}

/** Flags, parameters and columns of lanes of a kernel whose lanes take columns of values, or of keys. */
function byColumns(rec: Recorder, { t, chunks, heads, keyHeads, dk, dv }: Sizes, of: "dk" | "dv", ...more: string[]) {
  const sizes = { dk, dv };
  const wide = rec.profile.software && sizes[of] % 4 === 0;
  if (wide) sizes[of] /= 4;
  return {
    flags: [...strip(rec).flags, ...(wide ? ["wide"] : []), ...more],
    params: { t, chunks, heads, key_heads: keyHeads, ...sizes },
    lanes: Math.ceil(sizes[of] / 64),
  };
}

function decays(rec: Recorder, inputs: DeltaRuleInputs, sizes: Sizes, positions: Tensor): Chunked {
  const { batch, t, chunks, heads } = sizes;
  const { g, beta } = inputs;
  const made = (label: string) => rec.scratch([batch * t, heads], label);
  const all = { decay: made("decays"), lead: made("leads"), tail: made("tails"), written: made("written shares") };
  const count = batch * chunks * heads;
  rec.step({
    kernel: "delta-rule/decays",
    bind: { g, beta, positions, ...all },
    params: { count, t, chunks, heads },
    groups: foldGroups(Math.ceil(count / 64)),
  });
  return { ...sizes, inputs, positions, ...all };
}

interface Pairs {
  /** (N, its heads * d) each. */
  readonly later: Tensor;
  readonly earlier: Tensor;
  readonly d: number;
  readonly strict?: boolean;
  /** Times beta of the earlier. */
  readonly written?: boolean;
  readonly sign?: 1 | -1;
  /** Pairs whose gradient the inner products without decay are, and where the products of both go. */
  readonly of?: { readonly p: Tensor; readonly products: Tensor; readonly accumulate: 0 | 1 };
}

/** (batch, chunks, heads, 64, 64): decayed inner products of all pairs of a chunk. */
function pairs(rec: Recorder, c: Chunked, { later, earlier, d, strict, written, sign = 1, of }: Pairs): Tensor {
  const { batch, t, chunks, heads, decay, positions } = c;
  const m = rec.scratch([batch, chunks, heads, CHUNK, CHUNK], `pairs of ${later.label}`);
  rec.step({
    kernel: "delta-rule/pairs",
    flags: [
      ...strip(rec).flags,
      ...(strict ? ["strict"] : []),
      ...(written ? ["written"] : []),
      ...(of ? ["products"] : []),
    ],
    bind: {
      ...{ x: later, y: earlier, decay, positions, m },
      ...(written ? { beta: c.inputs.beta } : {}),
      ...(of ? { p: of.p, products: of.products } : {}),
    },
    params: {
      ...{ t, chunks, heads, d, sign, accumulate: of?.accumulate ?? 0 },
      ...{ x_heads: rowsOf(later).width / d, y_heads: rowsOf(earlier).width / d },
    },
    groups: [CHUNK / (4 * strip(rec).rows), batch * chunks, heads],
  });
  return m;
}

/** q, k (N, keyHeads * K), v (N, heads * V) -> (N, heads * V). q is scaled and k of length 1 by the caller. */
export function deltaRule(rec: Recorder, inputs: DeltaRuleInputs, options: DeltaRuleOptions): Tensor {
  const { q, k, v, g, beta } = inputs;
  const sizes = sizesOf(inputs, options);
  const { batch, chunks, heads, dk, dv } = sizes;
  const { positions, state } = options;
  const chunked = decays(rec, inputs, sizes, positions);
  const { lead, written } = chunked;
  const a = pairs(rec, chunked, { later: k, earlier: k, d: dk, strict: true, written: true });
  const p = pairs(rec, chunked, { later: q, earlier: k, d: dk, written: true });
  const states = rec.scratch([batch, chunks + 1, heads, dk, dv], "states");
  const errors = rec.scratch(v.shape, "errors of states");
  const scan = byColumns(rec, sizes, "dv", ...(state ? ["cached"] : []));
  rec.step({
    kernel: "delta-rule/scan",
    flags: scan.flags,
    bind: { k, v, lead, written, a, states, errors, ...(state ? { kept: state } : {}) },
    params: scan.params,
    groups: [scan.lanes, heads, batch],
  });
  const y = rec.result(v.shape, [q, k, v, g, beta], "delta rule");
  const { flags, params, lanes } = byColumns(rec, sizes, "dv");
  rec.step({
    kernel: "delta-rule/outputs",
    flags,
    bind: { q, lead, states, p, e: errors, o: y },
    params,
    groups: [lanes, batch * chunks, heads],
  });
  rec.onBackward(y, (dy) => {
    if (state) throw new Error("a delta rule with a kept state has no way back");
    goBack(rec, chunked, { a, p, states, errors, dy });
  });
  return y;
}

interface Back {
  readonly a: Tensor;
  readonly p: Tensor;
  readonly states: Tensor;
  readonly errors: Tensor;
  readonly dy: Tensor;
}

function goBack(rec: Recorder, c: Chunked, { a, p, states, errors, dy }: Back): void {
  const { batch, chunks, heads, dk, dv, lead, tail, written } = c;
  const { q, k, v, beta } = c.inputs;
  const dValues = rec.scratch(v.shape, "gradient of values");
  const slopes = rec.scratch(states.shape, "gradients of states");
  const { flags, params, lanes } = byColumns(rec, c, "dv");
  rec.step({
    kernel: "delta-rule/outputs",
    flags: [...flags, "gradient"],
    bind: { p, e: dy, o: dValues },
    params,
    groups: [lanes, batch * chunks, heads],
  });
  rec.step({
    kernel: "delta-rule/scan-gradient",
    flags,
    bind: { q, k, lead, written, a, d_o: dy, d_v: dValues, slopes },
    params,
    groups: [lanes, heads, batch],
  });
  const products = rec.scratch(p.shape, "pairs and their gradients");
  const w = pairs(rec, c, { later: dy, earlier: errors, d: dv, of: { p, products, accumulate: 0 } });
  const back = { later: dValues, earlier: errors, d: dv, of: { p: a, products, accumulate: 1 } } as const;
  const z = pairs(rec, c, { ...back, strict: true, sign: -1 });

  const byState = (bind: Record<string, Tensor>, { sign = 1, after = 0 }): Tensor => {
    const d = rec.scratch([rowsOf(v).rows, heads * dk], "gradient of keys by head");
    const { flags, params, lanes } = byColumns(rec, c, "dk");
    rec.step({
      kernel: "delta-rule/state-gradient",
      flags,
      bind: { ...bind, d },
      params: { ...params, sign, after },
      groups: [lanes, batch * chunks, heads],
    });
    return d;
  };
  const dq = byState({ share: lead, states, x: dy }, {});
  const read = byState({ share: lead, states, x: dValues }, { sign: -1 });
  const wrote = byState({ share: tail, states: slopes, x: errors }, { after: 1 });
  const gates = stateShares(rec, c, { dq, read, wrote, states, slopes });

  const addPairs = (bind: Record<string, Tensor>, ...more: readonly string[]): void => {
    const { flags, params, lanes } = byColumns(rec, c, "dk", ...more);
    const groups = [lanes, batch * chunks, heads] as const;
    rec.step({ kernel: "delta-rule/key-gradient", flags, bind: { k, ...bind }, params, groups });
  };
  addPairs({ beta, w, d: dq });
  addPairs({ beta, w: z, d: read });
  addPairs({ q, w, z, d: wrote }, "writing");
  gateGradients(rec, c, { ...gates, wrote, products });
  groupSums(rec, c, q, { d: dq });
  groupSums(rec, c, k, { d: read, w: wrote, beta });
  rec.addGradient(v, dValues);
}

interface ByHead {
  /** (N, heads * K): of queries, of keys where they read, of beta times keys where they are written. */
  readonly dq: Tensor;
  readonly read: Tensor;
  readonly wrote: Tensor;
  readonly states: Tensor;
  readonly slopes: Tensor;
}

/** What decays take of all that goes by states. */
interface StateShares {
  /** (N, heads) each. */
  readonly reads: Tensor;
  readonly leaves: Tensor;
  /** (batch, chunks, heads) */
  readonly through: Tensor;
}

function stateShares(rec: Recorder, c: Chunked, { dq, read, wrote, states, slopes }: ByHead): StateShares {
  const { batch, t, chunks, heads, keyHeads, dk, dv, lead } = c;
  const { q, k, g, beta } = c.inputs;
  const reads = rec.scratch(g.shape, "shares of reading");
  const leaves = rec.scratch(g.shape, "shares of leaving");
  const count = sizeOf(g.shape);
  rec.step({
    kernel: "delta-rule/state-shares",
    bind: { q, k, beta, d_q: dq, d_k: read, d_w: wrote, reads, leaves },
    params: { count, heads, key_heads: keyHeads, dk },
    groups: foldGroups(Math.ceil(count / 64)),
  });
  const through = rec.scratch([batch, chunks, heads], "shares of going through");
  rec.step({
    kernel: "delta-rule/ends",
    bind: { states, slopes, lead, through },
    params: { t, chunks, heads, size: dk * dv },
    groups: [heads, batch * chunks],
  });
  return { reads, leaves, through };
}

function gateGradients(
  rec: Recorder,
  c: Chunked,
  { reads, leaves, through, wrote, products }: StateShares & Pick<ByHead, "wrote"> & { readonly products: Tensor },
): void {
  const { batch, t, chunks, heads, keyHeads, dk } = c;
  const { k, g, beta } = c.inputs;
  if (!g.needsGrad && !beta.needsGrad) return;
  const place = (x: Tensor) =>
    x.needsGrad ? rec.gradient(x) : { into: rec.scratch(x.shape, "unused"), accumulate: 0 };
  const [ofG, ofBeta] = [place(g), place(beta)];
  rec.step({
    kernel: "delta-rule/decay-gradient",
    bind: { k, d_w: wrote, products, reads, leaves, through, d_g: ofG.into, d_beta: ofBeta.into },
    params: {
      ...{ t, chunks, heads, key_heads: keyHeads, dk },
      ...{ accumulate_g: ofG.accumulate, accumulate_beta: ofBeta.accumulate },
    },
    groups: [heads, batch * chunks],
  });
}

function groupSums(rec: Recorder, { heads, keyHeads, dk }: Sizes, x: Tensor, from: Record<string, Tensor>): void {
  if (!x.needsGrad) return;
  const { into, accumulate } = rec.gradient(x);
  const count = sizeOf(x.shape);
  rec.step({
    kernel: "delta-rule/group-sums",
    flags: from.w ? ["written"] : [],
    bind: { ...from, y: into },
    params: { count, heads, key_heads: keyHeads, dk, accumulate },
    groups: spanGroups(count),
  });
}

/** Logarithms of decays: -e^rate softplus(x + bias). x (N, H), rate and bias (H) -> (N, H). */
export function decayGates(rec: Recorder, x: Tensor, rate: Tensor, bias: Tensor): Tensor {
  const { width: heads } = rowsOf(x);
  for (const each of [rate, bias]) expectShape(each, [heads], "decay gates");
  const count = sizeOf(x.shape);
  const params = { count, heads };
  const groups = spanGroups(count);
  const g = rec.result(x.shape, [x, rate, bias], "log decays");
  rec.step({ kernel: "delta-rule/gates", bind: { x, a: rate, bias, g }, params, groups });
  rec.onBackward(g, (dg) => {
    const d_x = rec.scratch(x.shape, "gradient of decay gates");
    const d_a = rec.scratch(x.shape, "gradient of decay rates");
    const bind = { x, a: rate, bias, d_g: dg, d_x, d_a };
    rec.step({ kernel: "delta-rule/gates", flags: ["gradient"], bind, params, groups });
    if (bias.needsGrad) columnSums(rec, d_x, rec.gradient(bias));
    if (rate.needsGrad) columnSums(rec, d_a, rec.gradient(rate));
    rec.addGradient(x, d_x);
  });
  return g;
}
