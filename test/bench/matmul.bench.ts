/**
 * Speed of the matrix products of wgsl/matmul beside a plain subgroup kernel on the same adapter, by mitata.
 *
 *   bun test/bench/matmul.bench.ts [--device NAME]
 *
 * The baseline is the usual form: a subgroup makes 8 or 16 rows x 32 columns, a lane loads four values of A at a time
 * that all others get by shuffles. Each iteration submits several products and waits once. GFLOP/s are of the fastest
 * iteration; ratios come from runs of both kernels in turn, the fastest of each.
 */
import { bench, run } from "mitata";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { openGpu } from "../../src/gpu/gpu.ts";
import { layout } from "../../src/gpu/kernel.ts";
import { type Form, planProduct } from "../../src/tensor/linear-algebra/products.ts";
import { profileOf } from "../../src/tensor/program.ts";

/** Rows per subgroup at which the baseline is fastest. */
const BASELINE_ROWS: Record<Form, number> = { nn: 8, nt: 8, tn: 16 };

const baselineCode = (rows: number) => /* wgsl */ `
enable subgroups;
override FORM: u32 = 0; // 0 nn, 1 nt, 2 tn
const R = ${rows}u;
const S = 8u;
struct Params { m: u32, n4: u32, k: u32, lda: u32, ldb: u32, ldc: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;
@compute @workgroup_size(8)
fn baseline(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let row = group.y * R;
  let column = group.x * S + lane;
  let held = min(column, params.n4 - 1u);
  var sums: array<vec4f, R>;
  if (FORM == 2u) {
    for (var k = 0u; k < params.k; k += S) {
      var x: array<vec4f, R / 4u>;
      for (var r = 0u; r < R / 4u; r++) { x[r] = a[min(k + lane, params.k - 1u) * params.lda + min(row / 4u + r, params.lda - 1u)]; }
      for (var q = 0u; q < min(S, params.k - k); q++) {
        let y = b[(k + q) * params.ldb + held];
        for (var r = 0u; r < R / 4u; r++) {
          let shared_x = subgroupShuffle(x[r], q);
          for (var i = 0u; i < 4u; i++) { sums[r * 4u + i] = fma(vec4f(shared_x[i]), y, sums[r * 4u + i]); }
        }
      }
    }
  } else {
    let k4 = params.k / 4u;
    for (var k = 0u; k < k4; k += S) {
      var x: array<vec4f, R>;
      for (var r = 0u; r < R; r++) { x[r] = a[min(row + r, params.m - 1u) * params.lda + min(k + lane, k4 - 1u)]; }
      for (var q = 0u; q < min(S, k4 - k); q++) {
        var all: array<vec4f, R>;
        for (var r = 0u; r < R; r++) { all[r] = subgroupShuffle(x[r], q); }
        for (var i = 0u; i < 4u; i++) {
          if (FORM == 0u) {
            let y = b[((k + q) * 4u + i) * params.ldb + held];
            for (var r = 0u; r < R; r++) { sums[r] = fma(vec4f(all[r][i]), y, sums[r]); }
          } else {
            let y = b[(held * 4u + i) * params.ldb + k + q];
            for (var r = 0u; r < R; r++) { sums[r][i] += dot(all[r], y); }
          }
        }
      }
    }
  }
  if (column < params.n4) {
    for (var r = 0u; r < R; r++) { if (row + r < params.m) { c[(row + r) * params.ldc + column] = sums[r]; } }
  }
}`;

const device = process.argv.includes("--device") ? process.argv[process.argv.indexOf("--device") + 1] : undefined;
const gpu = await openGpu({ device });
const FORMS: readonly Form[] = ["nn", "nt", "tn"];

async function baseline(form: Form) {
  const constants = { FORM: FORMS.indexOf(form) };
  const code = baselineCode(BASELINE_ROWS[form]);
  const module = gpu.device.createShaderModule({ code });
  const compute = { module, entryPoint: "baseline", constants };
  const pipeline = gpu.device.createComputePipeline({ layout: "auto", compute });
  return { label: "baseline", pipeline, group: pipeline.getBindGroupLayout(0), layout: layout(code, "baseline") };
}

const SHAPES: readonly (readonly [Form, number, number, number, ("f32" | "bf16")?])[] = [
  ["nn", 512, 512, 512],
  ["nt", 512, 512, 512],
  ["nt", 512, 512, 512, "bf16"],
  ["tn", 512, 512, 512],
  ["nt", 1024, 256, 256],
  ["nn", 1024, 256, 1024],
  ["nt", 1024, 1024, 256],
  ["nt", 1024, 512, 256],
  ["tn", 256, 1024, 1024],
  ["nt", 1024, 8, 256],
  ["nt", 1024, 257, 255],
  ["nt", 1, 2048, 2048],
  ["nt", 1, 2048, 2048, "bf16"],
  ["nn", 1, 2048, 2048],
  ["nt", 1024, 1024, 1024],
];

interface Case {
  readonly name: string;
  readonly flop: number;
  readonly run: () => Promise<void>;
  readonly base?: () => Promise<void>;
}

const cases: Case[] = [];
for (const [form, m, n, k, bDtype = "f32"] of SHAPES) {
  const a = gpu.upload(
    Float32Array.from({ length: m * k }, (_, i) => ((i * 7919) % 1009) / 1009 - 0.5),
    "a",
  ).buffer;
  // Proper values in either type: bits taken at random are often denormal, and those are slow.
  const values = Float32Array.from({ length: n * k }, (_, i) => ((i * 104729) % 997) / 997 - 0.5);
  const b = gpu.upload(bDtype === "bf16" ? encodeFloats(values, "BF16") : values, "b").buffer;
  const c = gpu.buffer(4 * m * n, "c").buffer;
  const step = planProduct({ form, m, n, k, bDtype }, profileOf(gpu));
  const kernel = await gpu.kernel(step.kernel, step);
  const flop = 2 * m * n * k;
  const repeat = Math.max(1, Math.min(16, Math.round(4e8 / flop)));
  const timed = (record: () => void) => async () => {
    for (let i = 0; i < repeat; i++) record();
    await gpu.readWords(c, 1);
  };
  const run = timed(() => gpu.run(kernel, { bind: { a, b, c }, params: step.params, groups: step.groups }));
  let base: (() => Promise<void>) | undefined;
  if (gpu.adapter.subgroupSize === 8 && bDtype === "f32" && [m, n, k].every((x) => x === 1 || x % 4 === 0)) {
    const plain = await baseline(form);
    const params = { m, n4: n / 4, k, lda: (form === "tn" ? m : k) / 4, ldb: (form === "nt" ? k : n) / 4, ldc: n / 4 };
    const groups = [Math.ceil(n / 32), Math.ceil(m / BASELINE_ROWS[form])] as const;
    base = timed(() => gpu.run(plain, { bind: { a, b, c }, params, groups }));
  }
  cases.push({ name: `${form} ${m} x ${n} x ${k} ${bDtype}`, flop: flop * repeat, run, ...(base ? { base } : {}) });
}

/** Fastest of several runs of two functions in turn, ms. */
async function inTurn(one: () => Promise<void>, other: () => Promise<void>): Promise<[number, number]> {
  const best: [number, number] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let i = 0; i < 12; i++) {
    for (const [at, run] of [one, other].entries()) {
      const start = performance.now();
      await run();
      best[at] = Math.min(best[at]!, performance.now() - start);
    }
  }
  return best;
}

const lines: string[] = [];
for (const { name, flop, run, base } of cases) {
  const [ours, plain] = await inTurn(run, base ?? run);
  const rate = (flop / ours / 1e6).toFixed(1).padStart(7);
  lines.push(`${name.padEnd(28)} ${rate} GFLOP/s${base ? `  ${(plain / ours).toFixed(2)} x baseline` : ""}`);
}
console.log(lines.join("\n"));

if (!process.argv.includes("--quick")) {
  for (const { name, run } of cases) bench(name, run);
  await run();
}
gpu.close();
