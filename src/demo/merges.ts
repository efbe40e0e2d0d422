/** Merges of small made-up checkpoints, checked against arithmetic on the host: whether this adapter computes right. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../checkpoint/decode.ts";
import { openPlain } from "../checkpoint/open.ts";
import { UserError } from "../errors.ts";
import { humanBytes, humanTime } from "../text/format.ts";
import { table } from "../text/table.ts";
import { DEMO_MODEL, writeDemoModel } from "./models.ts";
import { runLine, say } from "./shell.ts";

async function read(path: string, name: string): Promise<Float32Array> {
  const checkpoint = await openPlain(path);
  const tensor = checkpoint.tensors.get(name);
  if (!tensor) throw new UserError(`${path} lacks ${name}`, "this is a bug; please report it", 1);
  const bytes = new Uint8Array(tensor.bytes);
  await tensor.read(bytes, 0);
  checkpoint.close();
  return decodeFloats(bytes, tensor.dtype);
}

/**
 * Largest difference between a merged tensor and what `expected` says of each position, relative to the largest value.
 */
async function error(path: string, name: string, expected: (i: number) => number): Promise<number> {
  const merged = await read(path, name);
  let worst = 0;
  let largest = 0;
  for (let i = 0; i < merged.length; i++) {
    largest = Math.max(largest, Math.abs(expected(i)));
    worst = Math.max(worst, Math.abs(merged[i]! - expected(i)));
  }
  return worst / largest;
}

/** TIES by sorting, on the host: an independent check of the kernels. */
function tiesByHand(base: Float32Array, models: readonly Float32Array[], density: number): Float64Array {
  const top = Math.floor(density * base.length);
  const trimmed = models.map((model) => {
    const delta = model.map((x, i) => x - base[i]!);
    const order = Array.from(delta.keys()).sort((a, b) => Math.abs(delta[b]!) - Math.abs(delta[a]!) || a - b);
    const kept = new Float64Array(delta.length);
    for (const i of order.slice(0, top)) kept[i] = delta[i]!;
    return kept;
  });
  return Float64Array.from(base, (b, i) => {
    const sum = trimmed.reduce((total, delta) => total + delta[i]!, 0);
    const agreeing = trimmed.map((delta) => delta[i]!).filter((d) => d !== 0 && d >= 0 === sum >= 0);
    return b + (agreeing.length ? agreeing.reduce((x, y) => x + y, 0) / agreeing.length : 0);
  });
}

/** Half a unit in the last place of BF16, relative to the largest value of a tensor, with room for one tie. */
const TOLERANCE = 2 ** -8;

/** Merges through files and through a pipe. Throws when a result is wrong. */
export async function checkMerges(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "ingot-demo-"));
  const at = (name: string) => join(folder, name);
  say(`making a base and two fine-tunes of it in ${folder}`);
  for (const [model, name] of ["base", "math", "code"].entries()) await writeDemoModel(at(name), DEMO_MODEL, model);

  const types = "--dtype float32 --out-dtype bfloat16 -q";
  const linear = `merge math code --method linear --weight 0.7,0.3 ${types}`;
  const slerp = `--method slerp --base base --t 0.4 ${types}`;
  const merges = [
    [`${linear} -o linear/`],
    [`merge math code --method ties --base base --weight 1 --density 0.3 ${types} -o ties.safetensors`],
    [`merge linear/ ${slerp} -o by-file.safetensors`],
    [linear, `merge - ${slerp} -o by-pipe.safetensors`],
  ];
  const seconds: number[] = [];
  for (const stages of merges) seconds.push((await runLine(stages, folder)).seconds);

  const name = "model.layers.2.self_attn.q_proj.weight";
  const [base, math, code, first] = await Promise.all(
    ["base", "math", "code", "linear"].map((model) => read(at(model), name)),
  );
  const trimmed = tiesByHand(base!, [math!, code!], 0.3);
  const cosine = dot(base!, first!) / Math.sqrt(dot(base!, base!) * dot(first!, first!));
  const angle = Math.acos(Math.min(1, cosine));
  const [near, far] = cosine > 0.9995 ? [0.6, 0.4] : [0.6, 0.4].map((t) => Math.sin(t * angle) / Math.sin(angle));
  const [piped, filed] = await Promise.all(
    ["by-pipe.safetensors", "by-file.safetensors"].map((f) => Bun.file(at(f)).bytes()),
  );
  const rows: [string, number, string, boolean][] = [];
  const add = (what: string, time: number, worst: number) =>
    rows.push([what, time, `error ${worst.toExponential(1)}`, worst <= TOLERANCE]);
  add("linear", seconds[0]!, await error(at("linear"), name, (i) => 0.7 * math![i]! + 0.3 * code![i]!));
  add("ties", seconds[1]!, await error(at("ties.safetensors"), name, (i) => trimmed[i]!));
  add("slerp", seconds[2]!, await error(at("by-file.safetensors"), name, (i) => near! * base![i]! + far! * first![i]!));
  const same = Buffer.compare(piped!, filed!) === 0;
  rows.push(["linear | slerp", seconds[3]!, same ? "same bytes as by file" : "other bytes than by file", same]);

  const cells = rows.map(([what, time, result, ok]) => [what, humanTime(time), result, ok ? "ok" : "WRONG"]);
  const size = humanBytes(piped!.length);
  process.stdout.write(`${table([["merge", "time", `checked (${size} each)`, ""], ...cells])}\n`);
  rmSync(folder, { recursive: true, force: true });
  if (rows.some(([, , , ok]) => !ok)) {
    throw new UserError("a merge gave wrong numbers on this adapter", "please report it with: bun run doctor", 1);
  }
}

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
