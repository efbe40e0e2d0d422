/**
 * The training step of train.bench.ts in jax-js, on the same adapter, for comparison. jax-js is no dependency of ours:
 *
 *   bun add --no-save @jax-js/jax@0.1.25 && bun test/bench/jax.bench.js [webgpu | wasm]
 *
 * The same model, batch and optimizer; embeddings are products with one-hot rows, 1 % of the work. What jax-js expects
 * of a browser (navigator.gpu, numeric constants, all of the adapter's limits) is supplied here.
 */
import { createGPUInstance } from "bun-webgpu";

const peer = await import("@jax-js/jax").catch(() => undefined);
if (!peer) {
  process.stderr.write("jax-js is not installed: bun add --no-save @jax-js/jax@0.1.25\n");
  process.exit(1);
}

const instance = createGPUInstance();
const requestAdapter = async (options) => {
  const adapter = await instance.requestAdapter({ ...options, backendType: 6 }); // Vulkan; without it the null backend
  const request = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = (descriptor = {}) => {
    const { __brand, ...requiredLimits } = { ...adapter.limits };
    const requiredFeatures = [...(descriptor.requiredFeatures ?? [])].filter((name) => adapter.features.has(name));
    return request({ ...descriptor, requiredFeatures, requiredLimits });
  };
  return adapter;
};
const usages = [
  "MAP_READ",
  "MAP_WRITE",
  "COPY_SRC",
  "COPY_DST",
  "INDEX",
  "VERTEX",
  "UNIFORM",
  "STORAGE",
  "INDIRECT",
  "QUERY_RESOLVE",
];
globalThis.GPUBufferUsage ??= Object.fromEntries(usages.map((name, bit) => [name, 1 << bit]));
globalThis.GPUMapMode ??= { READ: 1, WRITE: 2 };
globalThis.GPUShaderStage ??= { VERTEX: 1, FRAGMENT: 2, COMPUTE: 4 };
Object.defineProperty(globalThis.navigator, "gpu", { value: { requestAdapter }, configurable: true });

const { numpy: np, jit, valueAndGrad, nn, init, defaultDevice, tree } = peer;
const which = process.argv[2] ?? "webgpu";
await init();
defaultDevice(which);

const [B, T, C, H, L, V, F] = [8, 128, 256, 8, 4, 512, 688];
const [D, N] = [C / H, B * T];
let state = 1;
const weight = (...shape) => {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 0.034 * (state / 2 ** 31 - 1);
  });
  return np.array(values).reshape(shape);
};
const square = () => weight(C, C);
const layer = () => ({
  q: square(),
  k: square(),
  v: square(),
  o: square(),
  gate: weight(C, F),
  up: weight(C, F),
  down: weight(F, C),
  n1: np.ones([C]),
  n2: np.ones([C]),
});
let params = { table: weight(V, C), head: weight(C, V), norm: np.ones([C]), layers: Array.from({ length: L }, layer) };

const ids = Array.from({ length: N }, (_, i) => ((i >> 7) * 7919 + (i % T) ** 2 * 31 + (i % T)) % V);
const hot = new Float32Array(N * V);
const wanted = new Float32Array(N * V);
for (const [i, id] of ids.entries()) {
  hot[i * V + id] = 1;
  if (i % T < T - 1) wanted[i * V + ids[i + 1]] = 1 / (N - B);
}
const tokens = np.array(hot).reshape([N, V]);
const targets = np.array(wanted).reshape([N, V]);
const angle = (i) => Math.floor(i / D) * 10_000 ** ((-2 * (i % (D / 2))) / D);
const cosines = np.array(Float32Array.from({ length: T * D }, (_, i) => Math.cos(angle(i)))).reshape([1, T, 1, D]);
const sines = np
  .array(Float32Array.from({ length: T * D }, (_, i) => Math.sin(angle(i)) * (i % D < D / 2 ? -1 : 1)))
  .reshape([1, T, 1, D]);
const hidden = Float32Array.from({ length: T * T }, (_, i) => (i % T <= Math.floor(i / T) ? 0 : -1e9));
const mask = np.array(hidden).reshape([1, 1, T, T]);

const rms = (x, gain) => x.ref.div(np.sqrt(np.mean(np.square(x), -1, { keepdims: true }).add(1e-6))).mul(gain);
const rope = (x) => {
  const turned = np.concatenate([x.ref.slice([], [], [], [D / 2, D]), x.ref.slice([], [], [], [0, D / 2])], -1);
  return x.mul(cosines.ref).add(turned.mul(sines.ref));
};
const byHead = (x) => x.transpose([0, 2, 1, 3]);

function loss(p, rows, labels) {
  let x = np.matmul(rows, p.table);
  for (const l of p.layers) {
    const h = rms(x.ref, l.n1);
    const project = (w, from) => np.matmul(from, w).reshape([B, T, H, D]);
    const q = byHead(rope(project(l.q, h.ref)));
    const k = rope(project(l.k, h.ref)).transpose([0, 2, 3, 1]);
    const scores = np
      .matmul(q, k)
      .mul(1 / Math.sqrt(D))
      .add(mask.ref);
    const mixed = byHead(np.matmul(nn.softmax(scores, -1), byHead(project(l.v, h)))).reshape([N, C]);
    x = x.add(np.matmul(mixed, l.o));
    const m = rms(x.ref, l.n2);
    x = x.add(np.matmul(nn.silu(np.matmul(m.ref, l.gate)).mul(np.matmul(m, l.up)), l.down));
  }
  return nn
    .logSoftmax(np.matmul(rms(x, p.norm), p.head), -1)
    .mul(labels)
    .sum()
    .mul(-1);
}

const step = jit((p, m, v, rows, labels) => {
  const [value, g] = valueAndGrad(loss)(tree.ref(p), rows, labels);
  const mean = tree.map((a, b) => a.mul(0.9).add(b.mul(0.1)), m, tree.ref(g));
  const spread = tree.map((a, b) => a.mul(0.95).add(np.square(b).mul(0.05)), v, g);
  const moved = tree.map(
    (a, b, c) => a.mul(1 - 1e-4).sub(b.div(np.sqrt(c).add(1e-8)).mul(1e-3)),
    p,
    tree.ref(mean),
    tree.ref(spread),
  );
  return [value, moved, mean, spread];
});

const zeros = () => tree.map((x) => np.zeros(x.shape), tree.ref(params));
let [m, v] = [zeros(), zeros()];
for (let i = 0; i < 6; i++) {
  const began = performance.now();
  let value;
  [value, params, m, v] = step(params, m, v, tokens.ref, targets.ref);
  const [found] = await value.data();
  await params.norm.ref.data();
  process.stdout.write(
    `jax-js ${which}, step ${i}: ${((performance.now() - began) / 1000).toFixed(3)} s, loss ${found.toFixed(4)}\n`,
  );
}
process.exit(0);
