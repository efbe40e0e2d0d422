import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { providerName } from "../../../src/gpu/provider.ts";
import { type OpenGpu, ownGpu } from "../../support/gpu.ts";

/** What is tested here is not in use where another provider is asked for. */
const ours = test.skipIf(providerName() !== "bun-webgpu");

const STORAGE = 0x80;
const COPY_SRC = 0x04;
const COPY_DST = 0x08;
const MAP_READ = 0x01;
const MAP_WRITE = 0x02;

let opened: OpenGpu;
let gpu: Gpu;
let device: GPUDevice;
beforeAll(async () => {
  opened = await ownGpu();
  gpu = opened.gpu;
  device = gpu.device;
});
afterAll(() => gpu.close());

ours("objects that were released throw, and do not reach the driver", async () => {
  const message = "a GPU object is used after it was released";
  const { pipeline, group: layout } = await gpu.kernel("../test/gpu/kernels/fill");
  const buffer = device.createBuffer({ size: 256, usage: STORAGE | 0x40 });
  const entries = [0, 1].map((binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout, entries });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.end();
  expect(() => pass.setPipeline(pipeline)).toThrow(message);
  expect(() => pass.end()).toThrow(message);
  const commands = encoder.finish();
  expect(() => encoder.beginComputePass()).toThrow(message);
  expect(() => encoder.finish()).toThrow(message);
  device.queue.submit([commands]);
  expect(() => device.queue.submit([commands])).toThrow(message);
  opened.device.provider.releaseBindGroup(group);
  expect(() => opened.device.provider.releaseBindGroup(group)).toThrow(message);
});

ours("an error handler may call the device while the call that failed still needs its descriptor", () => {
  const { onuncapturederror } = device;
  const messages: string[] = [];
  device.onuncapturederror = ({ error }) => {
    messages.push(error.message);
    if (messages.length > 3) return;
    const label = `made by the handler ${"x".repeat(40_000)}`;
    device.createBuffer({ label, size: 16, usage: STORAGE }).destroy();
    device.createBuffer({ label: `wrong too, ${messages.length}`, size: 16, usage: 0 });
  };
  device.createBuffer({ label: "a usage of none", size: 16, usage: 0 });
  device.onuncapturederror = onuncapturederror;
  expect(messages.map((message) => /\[BufferDescriptor "+([^"]*)"/.exec(message)?.[1])).toEqual([
    "a usage of none",
    "wrong too, 1",
    "wrong too, 2",
    "wrong too, 3",
  ]);
});

ours("error scopes nest and catch what they are for", async () => {
  const wrong = (label: string) => device.createBuffer({ label, size: 16, usage: 0 });
  device.pushErrorScope("validation");
  device.pushErrorScope("validation");
  wrong("inner");
  const inner = device.popErrorScope();
  device.pushErrorScope("out-of-memory");
  wrong("outer");
  const [a, b, c] = await Promise.all([inner, device.popErrorScope(), device.popErrorScope()]);
  expect(a?.message).toContain("inner");
  expect(a).toMatchObject({ name: "GPUValidationError" });
  expect(b).toBeNull();
  expect(c?.message).toContain("outer");
  await expect(device.popErrorScope()).rejects.toThrow();
});

ours("mapped memory is read and written, and gone after unmap", async () => {
  const upload = device.createBuffer({ size: 32, usage: MAP_WRITE | COPY_SRC, mappedAtCreation: true });
  expect(upload.mapState).toBe("mapped");
  const range = upload.getMappedRange(8, 16);
  new Uint32Array(range).set([1, 2, 3, 4]);
  upload.unmap();
  expect([upload.mapState, range.byteLength]).toEqual(["unmapped", 0]);
  const landing = device.createBuffer({ size: 32, usage: MAP_READ | COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(upload, landing, 32);
  device.queue.submit([encoder.finish()]);
  const pending = landing.mapAsync(1);
  expect(landing.mapState).toBe("pending");
  await pending;
  expect([...new Uint32Array(landing.getMappedRange().slice())]).toEqual([0, 0, 1, 2, 3, 4, 0, 0]);
  landing.unmap();
  expect(() => landing.getMappedRange()).toThrow("is not mapped");
  const aborted = landing.mapAsync(1);
  landing.destroy();
  await expect(aborted).rejects.toThrow("Mapping a buffer failed");
  expect(landing.mapState).toBe("unmapped");
});

ours("writes count in elements of their data", async () => {
  const buffer = device.createBuffer({ size: 16, usage: STORAGE | COPY_SRC | COPY_DST });
  device.queue.writeBuffer(buffer, 4, new Uint16Array([9, 9, 1, 2, 3, 4, 9]).subarray(1), 1, 4);
  device.queue.writeBuffer(buffer, 12, new Uint8Array([5, 0, 0, 0]).buffer);
  expect([...(await gpu.readWords(buffer, 4))]).toEqual([0, 0x20001, 0x40003, 5]);
  expect(() => device.queue.writeBuffer(buffer, 0, new Uint32Array(2), 1, 2)).toThrow("past the end of its data");
});
