/**
 * Run by test/gpu/collected.test.ts in a process whose garbage collector never rests: opens devices, makes pipelines
 * from ever other constants, binds, runs, times and reads them, and prints as JSON how many of each went wrong.
 *
 *     BUN_JSC_collectContinuously=1 bun test/gpu/collected.ts 6000
 *
 * counts 0 faults in half a minute. Through the JavaScript of bun-webgpu it counted 2 to 4 of 6 devices and about 60 of
 * 6000 pipelines, and one run in four crashed.
 */
import { openDevice } from "../../src/gpu/device.ts";
import { ownGpu } from "../support/gpu.ts";

const PIPELINES = Number(process.argv[2] ?? 600);
const DEVICES = 6;
const BATCH = 40;
/** A driver compiles each of them once; every pipeline has its own descriptor all the same. */
const DIFFERENT = 48;

const MAP_READ = 0x01;
const COPY_SRC = 0x04;
const COPY_DST = 0x08;
const STORAGE = 0x80;
const QUERY_RESOLVE = 0x200;

const CODE = `
override WHOLE: u32 = 1;
override REAL: f32 = 1.0;
override A_SIGNED_NUMBER: i32 = 1;
override LANES: u32 = 1;
@group(0) @binding(0) var<storage, read> source: array<u32>;
@group(0) @binding(1) var<storage, read_write> result: array<u32>;
@compute @workgroup_size(LANES) fn an_entry_point(@builtin(local_invocation_id) id: vec3u) {
  if (id.x == 0u) {
    result[0] = WHOLE;
    result[1] = bitcast<u32>(REAL);
    result[2] = bitcast<u32>(A_SIGNED_NUMBER);
    result[3] = source[0] + LANES;
  }
}`;

const constantsOf = (i: number) => ({ WHOLE: i + 1, REAL: i / 3, A_SIGNED_NUMBER: -i, LANES: 1 + (i % 8) });

function expectedOf(i: number, source: number): number[] {
  const { WHOLE, REAL, A_SIGNED_NUMBER, LANES } = constantsOf(i);
  const real = new Uint32Array(new Float32Array([REAL]).buffer)[0]!;
  return [WHOLE, real, A_SIGNED_NUMBER >>> 0, source + LANES];
}

const faults = { devices: 0, pipelines: 0, commands: 0, results: 0, labels: 0, kernels: 0 };
const messages = new Set<string>();
function fault(kind: keyof typeof faults, message: string): void {
  faults[kind]++;
  if (messages.size < 10) messages.add(`${kind}: ${message}`);
}

/** What a scope around `work` caught. */
async function errorOf(device: GPUDevice, work: () => void): Promise<string | undefined> {
  device.pushErrorScope("validation");
  work();
  return (await device.popErrorScope())?.message;
}

async function batch(device: GPUDevice, module: GPUShaderModule, first: number, count: number): Promise<void> {
  const buffer = (label: string, size: number, usage: number) => device.createBuffer({ label, size, usage });
  const result = buffer(`result ${first}`, 256 * count, STORAGE | COPY_SRC);
  const source = buffer(`source ${first}`, 256, STORAGE | COPY_DST);
  const landing = buffer(`landing ${first}`, 256 * count, MAP_READ | COPY_DST);
  const times = buffer(`times ${first}`, 16, QUERY_RESOLVE);
  device.queue.writeBuffer(source, 0, new Uint32Array([first, 1, 2, 3]));

  const pipelines: { index: number; slot: number; pipeline: GPUComputePipeline }[] = [];
  for (let slot = 0; slot < count; slot++) {
    const index = (first + slot) % DIFFERENT;
    const message = await errorOf(device, () => {
      const compute = { module, entryPoint: "an_entry_point", constants: constantsOf(index) };
      const pipeline = device.createComputePipeline({ label: `pipeline ${first + slot}`, layout: "auto", compute });
      pipelines.push({ index, slot, pipeline });
    });
    if (message === undefined) continue;
    pipelines.pop();
    fault("pipelines", message);
  }

  const timed = device.features.has("timestamp-query");
  const querySet = timed ? device.createQuerySet({ label: `set ${first}`, type: "timestamp", count: 2 }) : undefined;
  const message = await errorOf(device, () => {
    const encoder = device.createCommandEncoder({ label: `encoder ${first}` });
    for (const { slot, pipeline } of pipelines) {
      const timestampWrites = querySet && { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
      const pass = encoder.beginComputePass({ label: `pass ${slot}`, ...(timestampWrites ? { timestampWrites } : {}) });
      const entries = [
        { binding: 0, resource: { buffer: source } },
        { binding: 1, resource: { buffer: result, offset: 256 * slot, size: 256 } },
      ];
      pass.setPipeline(pipeline);
      const layout = pipeline.getBindGroupLayout(0);
      pass.setBindGroup(0, device.createBindGroup({ label: `group ${slot}`, layout, entries }));
      pass.dispatchWorkgroups(1);
      pass.end();
    }
    if (querySet) encoder.resolveQuerySet(querySet, 0, 2, times, 0);
    encoder.copyBufferToBuffer(result, 0, landing, 0, 256 * count);
    device.queue.submit([encoder.finish({ label: `commands ${first}` })]);
  });
  if (message !== undefined) fault("commands", message);

  await landing.mapAsync(MAP_READ);
  const found = new Uint32Array(landing.getMappedRange().slice(0));
  landing.unmap();
  for (const { index, slot } of pipelines) {
    const expected = expectedOf(index, first);
    const got = [...found.subarray(64 * slot, 64 * slot + 4)];
    if (got.join() !== expected.join()) fault("results", `${got} instead of ${expected}`);
  }

  // An error names its objects by the labels that they were given.
  const label = `a buffer that is too small, number ${first}`;
  const error = await errorOf(device, () => {
    const small = buffer(label, 16, STORAGE);
    const layout = pipelines[0]!.pipeline.getBindGroupLayout(0);
    const entries = [0, 1].map((binding) => ({ binding, resource: { buffer: small, offset: 0, size: 4096 } }));
    device.createBindGroup({ label: `bound to ${first}`, layout, entries });
    small.destroy();
  });
  if (!error?.includes(`[Buffer "${label}"]`)) fault("labels", error ?? "no error");
  for (const one of [result, source, landing, times]) one.destroy();
}

for (let i = 0; i < DEVICES; i++) {
  try {
    (await openDevice()).device.destroy();
  } catch (error) {
    fault("devices", String(error));
  }
}

const { gpu } = await ownGpu();
gpu.device.onuncapturederror = ({ error }) => fault("commands", error.message);
const module = gpu.device.createShaderModule({ label: "of constants", code: CODE });
for (let first = 0; first < PIPELINES; first += BATCH) {
  await batch(gpu.device, module, first, Math.min(BATCH, PIPELINES - first));
}

// Through the kernels of the library, as everything else goes.
const fill = await gpu.kernel("../test/gpu/kernels/fill");
using held = gpu.buffer(256 * 64, "held");
for (let i = 0; i < PIPELINES / 6; i++) {
  const bind = { result: { buffer: held.buffer, offset: 256 * (i % 64), size: 256 } };
  gpu.run(fill, { bind, params: { n: 64, value: i }, invocations: 64 });
  const words = await gpu.readWords(held.buffer, 64, 256 * (i % 64));
  if (words.some((word, k) => word !== 10 * k + i)) fault("kernels", `${words} instead of ${i}, …`);
}

console.log(JSON.stringify({ faults, messages: [...messages] }));
process.exit(0);
