/**
 * The layouts against those of `bun-webgpu`, which is built together with the library. Its JavaScript and ours get the
 * same descriptors; what each hands to a library that only looks is read through our layouts, and has to be the same.
 */

import { type Pointer, read } from "bun:ffi";
import { beforeEach, expect, test } from "bun:test";
import { Arena, type Fields, type Struct } from "../../../src/gpu/dawn/arena.ts";
import type { Context } from "../../../src/gpu/dawn/context.ts";
import { BACKEND } from "../../../src/gpu/dawn/dawn.ts";
import { DawnDevice } from "../../../src/gpu/dawn/device.ts";
import * as structs from "../../../src/gpu/dawn/structs.ts";
import { providerName } from "../../../src/gpu/provider.ts";
import { sharedOpenGpu } from "../../support/gpu.ts";

/** What is tested here is not in use where another provider is asked for. */
const ours = test.skipIf(providerName() !== "bun-webgpu");

/** Its types would change the standard's everywhere, so the compiler does not see this import. */
const PACKAGE: string = "bun-webgpu";
const { createGPUInstance, globalConstructors } = (await import(PACKAGE)) as {
  createGPUInstance(): GPU;
  globalConstructors: { GPUDevice: new (...args: unknown[]) => GPUDevice };
};

type Seen = Record<string, unknown>;

const { unpack } = structs;
const at = (address: number) => address as Pointer;

function list<F extends Fields>(layout: Struct<F>, count: number, address: number) {
  return Array.from({ length: count }, (_, i) => unpack(layout, at(address + i * layout.bytes)));
}

function answered(info: number) {
  const { callback, ...rest } = unpack(structs.CALLBACK_INFO, at(info));
  expect(callback).toBeGreaterThan(0);
  return { info: rest };
}

/** What lies behind the addresses that a call gets, while it runs. */
const LOOKS: Record<string, (...args: number[]) => Seen> = {
  DeviceCreateBuffer: (_, p) => unpack(structs.BUFFER_DESCRIPTOR, at(p!)),
  DeviceCreateShaderModule: (_, p) => {
    const { label, nextInChain } = unpack(structs.LABEL_DESCRIPTOR, at(p!));
    return { label, ...unpack(structs.SHADER_SOURCE_WGSL, at(nextInChain)) };
  },
  DeviceCreateComputePipeline: (_, p) => {
    const { constants, ...rest } = unpack(structs.COMPUTE_PIPELINE_DESCRIPTOR, at(p!));
    return { ...rest, constants: list(structs.CONSTANT_ENTRY, rest.constantCount, constants) };
  },
  DeviceCreateBindGroupLayout: (_, p) => {
    const { entries, ...rest } = unpack(structs.BIND_GROUP_LAYOUT_DESCRIPTOR, at(p!));
    return { ...rest, entries: list(structs.BIND_GROUP_LAYOUT_ENTRY, rest.entryCount, entries) };
  },
  DeviceCreatePipelineLayout: (_, p) => {
    const { bindGroupLayouts, ...rest } = unpack(structs.PIPELINE_LAYOUT_DESCRIPTOR, at(p!));
    const handles = Array.from({ length: rest.bindGroupLayoutCount }, (_, i) => read.ptr(at(bindGroupLayouts), 8 * i));
    return { ...rest, handles };
  },
  DeviceCreateBindGroup: (_, p) => {
    const { entries, ...rest } = unpack(structs.BIND_GROUP_DESCRIPTOR, at(p!));
    return { ...rest, entries: list(structs.BIND_GROUP_ENTRY, rest.entryCount, entries) };
  },
  DeviceCreateQuerySet: (_, p) => unpack(structs.QUERY_SET_DESCRIPTOR, at(p!)),
  DeviceCreateCommandEncoder: (_, p) => unpack(structs.LABEL_DESCRIPTOR, at(p!)),
  CommandEncoderBeginComputePass: (_, p) => {
    const { timestampWrites, ...rest } = unpack(structs.COMPUTE_PASS_DESCRIPTOR, at(p!));
    return { ...rest, timestampWrites: timestampWrites && unpack(structs.TIMESTAMP_WRITES, at(timestampWrites)) };
  },
  CommandEncoderFinish: (_, p) => unpack(structs.LABEL_DESCRIPTOR, at(p!)),
  CommandEncoderCopyBufferToBuffer: (...args) => ({ args: args.map(Number) }),
  CommandEncoderClearBuffer: (...args) => ({ args: args.map(Number) }),
  CommandEncoderResolveQuerySet: (...args) => ({ args: args.map(Number) }),
  ComputePassEncoderSetPipeline: (...args) => ({ args: args.map(Number) }),
  ComputePassEncoderSetBindGroup: (...args) => ({ args: args.map(Number) }),
  ComputePassEncoderDispatchWorkgroups: (...args) => ({ args }),
  InstanceRequestAdapter: (_, options, info) => ({
    ...unpack(structs.REQUEST_ADAPTER_OPTIONS, at(options!)),
    ...answered(info!),
  }),
  AdapterRequestDevice: (_, p, info) => {
    const { requiredFeatures, requiredLimits, ...rest } = unpack(structs.DEVICE_DESCRIPTOR, at(p!));
    const features = Array.from({ length: rest.requiredFeatureCount }, (_, i) => read.u32(at(requiredFeatures), 4 * i));
    return { ...rest, features, limits: unpack(structs.LIMITS, at(requiredLimits)), ...answered(info!) };
  },
  QueueSubmit: (queue, count, p) => ({
    queue,
    commands: Array.from({ length: count! }, (_, i) => read.ptr(at(p!), 8 * i)),
  }),
  QueueWriteBuffer: (queue, buffer, offset, p, bytes) => ({
    args: [queue, buffer, Number(offset), Number(bytes)],
    data: Array.from({ length: Number(bytes) }, (_, i) => read.u8(at(p!), i)),
  }),
};

let seen: [call: string, what: Seen][];
let handles: number;
beforeEach(() => {
  seen = [];
  handles = 1000;
});

/** A library that notes what it is given and hands out numbers as handles. */
const looking = () =>
  new Proxy({} as Record<string, unknown>, {
    get(_, name: string) {
      const call = name.replace(/^z?wgpu/, "");
      return (...args: number[]) => {
        if (LOOKS[call]) seen.push([call, LOOKS[call](...args)]);
        return call === "DeviceGetQueue" ? 900 : ++handles;
      };
    },
  });

/** Calls everything that takes a descriptor, through the standard's interface. */
function drive(device: GPUDevice): void {
  const source = device.createBuffer({ label: "weights ü", size: 2 ** 32 + 256, usage: 0x84 });
  const target = device.createBuffer({ size: 1024, usage: 0x8c, mappedAtCreation: true });
  const module = device.createShaderModule({ label: "k", code: "fn main() {} // größer".repeat(2000) });
  const constants = { ROWS: 7, SCALE: -0.1, "a name that is not short at all": 2 ** 31 };
  const compute = { module, entryPoint: "entry_point", constants };
  const pipeline = device.createComputePipeline({ label: "pipeline", layout: "auto", compute });
  device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  const bound = (["uniform", "storage", "read-only-storage"] as const).map((type, binding) => ({
    binding: 2 * binding,
    visibility: 4,
    buffer: { type, minBindingSize: 2 ** 32 * binding },
  }));
  const groups = [device.createBindGroupLayout({ label: "bound", entries: bound })];
  groups.push(device.createBindGroupLayout({ entries: [{ binding: 1, visibility: 4, buffer: {} }] }));
  const explicit = device.createPipelineLayout({ label: "two groups", bindGroupLayouts: groups });
  device.createComputePipeline({ layout: explicit, compute: { module, entryPoint: "main" } });
  const entries = [
    { binding: 3, resource: { buffer: source, offset: 2 ** 32, size: 256 } },
    { binding: 0, resource: { buffer: target, offset: 512, size: 512 } },
  ];
  const group = device.createBindGroup({ label: "group", layout: pipeline.getBindGroupLayout(0), entries });
  const querySet = device.createQuerySet({ label: "times", type: "timestamp", count: 12 });
  const encoder = device.createCommandEncoder({ label: "encoder" });
  const timestampWrites = { querySet, beginningOfPassWriteIndex: 4, endOfPassWriteIndex: 5 };
  for (const descriptor of [{ label: "pass", timestampWrites }, { timestampWrites: { querySet } }, {}]) {
    const pass = encoder.beginComputePass(descriptor);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(9);
    pass.dispatchWorkgroups(1, 2, 3);
  }
  encoder.copyBufferToBuffer(source, 2 ** 32 + 4, target, 8, 16);
  encoder.copyBufferToBuffer(source, target, 64);
  encoder.clearBuffer(target, 4, 8);
  encoder.resolveQuerySet(querySet, 2, 6, target, 256);
  const commands = encoder.finish({ label: "commands" });
  device.queue.submit([commands, device.createCommandEncoder().finish()]);
  device.queue.writeBuffer(target, 4, new Uint16Array([1, 2, 3, 4, 5, 6]), 1, 4);
  device.queue.writeBuffer(source, 2 ** 32, new Uint8Array([9, 8, 7, 6]).buffer);
}

ours("descriptors are those of bun-webgpu", () => {
  const quiet = { register() {}, unregister() {}, processEvents() {} };
  const theirDevice = new globalConstructors.GPUDevice(1000, looking(), quiet);
  Object.assign(theirDevice, { _limits: { maxBufferSize: 2 ** 40 } });
  Bun.gc(true); // theirs lie in memory that nothing holds
  drive(theirDevice);
  const theirs = seen;

  seen = [];
  handles = 1000;
  const context = { library: looking(), arena: new Arena(), events: {} } as unknown as Context;
  const ours = new DawnDevice(context, {
    handle: at(1000),
    features: new Set() as DawnDevice["features"],
    limits: {},
    lost: Promise.withResolvers<GPUDeviceLostInfo>().promise,
  });
  drive(ours as DawnDevice & GPUDevice);
  expect(seen).toEqual(theirs);
  expect(seen.length).toBe(37);
});

ours("requests are those of bun-webgpu", async () => {
  const { device } = await sharedOpenGpu(); // puts a driver in place
  const quiet = { register() {}, unregister() {}, processEvents() {} };
  const gpu = createGPUInstance();
  const backendType = structs.BACKENDS.indexOf(BACKEND);
  const adapter = (await gpu.requestAdapter({ backendType } as GPURequestAdapterOptions))!;
  const { limits } = adapter; // read by the library itself

  Object.assign(gpu, { lib: looking(), _ticker: quiet });
  const options = { powerPreference: "low-power", forceFallbackAdapter: true, backendType, nextInChain: 77 } as const;
  Bun.gc(true);
  void gpu.requestAdapter(options as GPURequestAdapterOptions);

  Object.assign(adapter, { lib: looking(), instanceTicker: quiet, _features: new Set(["subgroups", "shader-f16"]) });
  const requiredFeatures = ["shader-f16", "subgroups"] as const;
  const { __brand, ...requiredLimits } = limits;
  Bun.gc(true);
  void adapter.requestDevice({ label: "device", requiredFeatures, requiredLimits: { ...requiredLimits } });

  const info = { nextInChain: 0, mode: 2, userdata1: 0, userdata2: 0 };
  const [first, second] = seen as [[string, Seen], [string, Seen & { limits: Record<string, number> }]];
  expect(first).toEqual([
    "InstanceRequestAdapter",
    {
      nextInChain: 77,
      featureLevel: 0,
      powerPreference: structs.POWER_PREFERENCE["low-power"],
      forceFallbackAdapter: 1,
      backendType,
      compatibleSurface: 0,
      info,
    },
  ]);
  expect(second[1]).toMatchObject({
    label: "device",
    features: [structs.FEATURES.indexOf("shader-f16"), structs.FEATURES.indexOf("subgroups")],
    queueLabel: "default queue",
    lostNextInChain: 0,
    lostMode: 2,
    lostUserdata1: 0,
    errorNextInChain: 0,
    errorUserdata1: 0,
    info,
  });
  // An adapter that was asked for what may still change passes immediate data too.
  const { nextInChain, maxImmediateSize, ...found } = second[1].limits;
  expect(requiredLimits).toMatchObject(found);
  expect(device.device.limits).toMatchObject(found); // an opened device has every limit of its adapter
});

ours("what an adapter says of itself is what bun-webgpu reads", async () => {
  const { device } = await sharedOpenGpu();
  const gpu = createGPUInstance();
  const backendType = structs.BACKENDS.indexOf(BACKEND);
  const options = { powerPreference: "high-performance", backendType } as GPURequestAdapterOptions;
  Bun.gc(true);
  const { info, features, limits } = (await gpu.requestAdapter(options))!;
  const { vendor, architecture, device: name, description } = device.adapter;
  expect(info).toMatchObject({ vendor, architecture, device: name, description });
  const standard = structs.FEATURES.filter((name) => name !== undefined);
  // An adapter that was asked for what may still change has more of them.
  const seen = standard.filter((name) => features.has(name));
  expect(device.adapter.features.filter((name) => seen.includes(name))).toEqual(seen);
  const { maxStorageBufferBindingSize = 0, maxImmediateSize, ...others } = device.adapter.limits;
  expect(limits).toMatchObject(others);
  expect(maxStorageBufferBindingSize).toBeLessThanOrEqual(limits.maxStorageBufferBindingSize);
});
