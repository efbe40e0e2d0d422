import { describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { UserError } from "../../src/errors.ts";
import { BACKEND } from "../../src/gpu/dawn/dawn.ts";
import { type Adapter, listAdapters, matchesDevice, openDevice } from "../../src/gpu/device.ts";
import { sharedOpenGpu } from "../support/gpu.ts";

const adapter = (over: Partial<Adapter>): Adapter => ({
  vendor: "",
  architecture: "",
  device: "",
  description: "",
  backend: "Vulkan",
  type: "unknown",
  limits: {},
  features: [],
  subgroupSize: 0,
  ...over,
});

const nvidia = adapter({
  vendor: "nvidia",
  architecture: "ampere",
  device: "NVIDIA GeForce RTX 3090",
  description: "NVIDIA: 550.54.14",
  type: "discrete",
});
const intel = adapter({ vendor: "intel", device: "Intel(R) Iris(R) Xe Graphics", type: "integrated" });
const software = adapter({ vendor: "mesa", device: "llvmpipe-llvm-15", description: "llvmpipe: Mesa 25", type: "cpu" });

describe("--device", () => {
  test.each([
    ["discrete", [true, false, false]],
    ["integrated", [false, true, false]],
    ["cpu", [false, false, true]],
    ["software", [false, false, true]],
    ["gpu", [true, true, false]],
    ["GPU", [true, true, false]],
    ["nvidia", [true, false, false]],
    ["rtx 3090", [true, false, false]],
    ["550.54", [true, false, false]],
    ["iris", [false, true, false]],
    ["Llvmpipe", [false, false, true]],
    ["tpu", [false, false, false]],
  ])("%s means the right adapters", (wanted, expected) => {
    expect([nvidia, intel, software].map((one) => matchesDevice(one, wanted))).toEqual(expected);
  });

  test("names every adapter where none matches", async () => {
    const names = (await listAdapters()).map((one) => `${one.device || one.description} (${one.type})`).join(", ");
    const error = await openDevice("abacus").catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toBe("No adapter matches --device abacus");
    expect(error.hint).toBe(`there are: ${names}`);
    expect(error.exitCode).toBe(2);
  });

  test("opens the adapter that it names", async () => {
    const [first] = await listAdapters();
    const { adapter, device } = await openDevice(first!.device || first!.description);
    expect(adapter.device).toBe(first!.device);
    device.destroy();
  });
});

describe("the adapter", () => {
  test("computes: it is not the backend that only validates", async () => {
    const { device, gpu } = await sharedOpenGpu();
    expect(device.adapter.backend).toBe(BACKEND);
    expect(device.adapter.device).not.toBe("null-backend");
    const fill = await gpu.kernel("../test/gpu/kernels/fill");
    using result = gpu.buffer(64, "result");
    gpu.run(fill, { bind: { result: result.buffer }, params: { n: 4, value: 9 } });
    expect([...(await gpu.readWords(result.buffer, 4))]).toEqual([9, 19, 29, 39]);
  });

  test("is opened with all of its limits, bindings kept below 2 GiB", async () => {
    const { device } = await sharedOpenGpu();
    const { limits } = device.adapter;
    expect(limits.maxStorageBufferBindingSize).toBeLessThan(2 ** 31);
    expect(device.device.limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(
      limits.maxStorageBufferBindingSize!,
    );
    expect(device.device.limits.maxStorageBuffersPerShaderStage).toBe(limits.maxStorageBuffersPerShaderStage!);
    expect(device.device.limits.maxBufferSize).toBe(limits.maxBufferSize!);
  });

  async function inChild(program: string, env: Record<string, string> = {}): Promise<unknown> {
    const script = fileURLToPath(new URL(program, import.meta.url));
    const child = Bun.spawn([process.execPath, script], {
      env: { ...process.env, ...env },
      stdout: "pipe",
      stderr: "inherit",
    });
    const text = await new Response(child.stdout).text();
    expect(await child.exited).toBe(0);
    return JSON.parse(text);
  }

  test.skipIf(process.platform !== "linux")("is released with its driver once it is closed and forgotten", async () => {
    const { first, last } = (await inChild("./opens.ts")) as { first: number; last: number };
    expect(last).toBeLessThanOrEqual(first + 15); // a software driver has some 5 threads per device, of 12
  });

  // Only Vulkan's loader on Linux takes its drivers from the environment.
  test.skipIf(process.platform !== "linux")("that only validates is refused, with a hint", async () => {
    const found = await inChild("./open-device.ts", {
      VK_DRIVER_FILES: "/nonexistent/driver.json",
      INGOT_DRIVER: "system",
    });
    expect(found).toEqual({
      name: "UserError",
      message: "No Vulkan adapter answered",
      hint: "install a GPU driver, or run: bun run doctor --fix (adds a software driver)",
      exitCode: 1,
    });
  });
});
