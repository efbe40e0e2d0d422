/** Which provider of WebGPU is asked, and what is said where it is not there. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../src/errors.ts";
import { NodeBinding } from "../../src/gpu/node-binding.ts";
import { providerName } from "../../src/gpu/provider.ts";
import { providersOf } from "../../src/setup/diagnose.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-providers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A folder in which these packages are installed. */
function machine(name: string, ...packages: string[]): string {
  const root = join(folder, name);
  for (const one of packages) {
    mkdirSync(join(root, "node_modules", one), { recursive: true });
    writeFileSync(join(root, "node_modules", one, "package.json"), `{ "version": "1.2.3" }`);
  }
  return root;
}

test("the environment chooses, and a name that is not there is refused", () => {
  expect(providerName({})).toBe("bun-webgpu");
  expect(providerName({ INGOT_WEBGPU: "" })).toBe("bun-webgpu");
  expect(providerName({ INGOT_WEBGPU: "webgpu" })).toBe("webgpu");
  expect(() => providerName({ INGOT_WEBGPU: "wgpu" })).toThrow("INGOT_WEBGPU=wgpu: no such provider");
});

test("doctor tells of both, of one, and of none", () => {
  const states = (asked: string | undefined, ...packages: string[]) =>
    providersOf(asked, machine([asked, ...packages].join("+"), ...packages)).map(
      ({ name, version, asked }) => `${name} ${version}${asked ? " *" : ""}`,
    );
  expect(states(undefined, "bun-webgpu", "webgpu")).toEqual(["bun-webgpu 1.2.3 *", "webgpu 1.2.3"]);
  expect(states("webgpu", "bun-webgpu", "webgpu")).toEqual(["bun-webgpu 1.2.3", "webgpu 1.2.3 *"]);
  expect(states(undefined, "bun-webgpu")).toEqual(["bun-webgpu 1.2.3 *", "webgpu not installed"]);
  expect(states("webgpu", "bun-webgpu")).toEqual(["bun-webgpu 1.2.3", "webgpu not installed *"]);
  expect(states(undefined)).toEqual(["bun-webgpu not installed *", "webgpu not installed"]);
});

test("a package that cannot be loaded is named, with how to add it", async () => {
  const missing = () => Promise.reject(new Error("Cannot find package 'webgpu'\n  from here"));
  const toggles = { enable: [], disable: [] };
  const why = "the package cannot be loaded: Cannot find package 'webgpu'";
  const hint = "install it beside the others, as docs/doctor.md says; or unset INGOT_WEBGPU";
  await expect(NodeBinding.open(toggles, missing)).rejects.toEqual(
    new UserError(`INGOT_WEBGPU=webgpu: ${why}`, hint, 1),
  );
  const other = NodeBinding.open(toggles, async () => ({ gpu: 1 }));
  await expect(other).rejects.toThrow("webgpu: the package has no create()");
});

test("an adapter of the binding says what it has, and is asked for no feature that it lacks", async () => {
  const asked: unknown[] = [];
  const adapter = {
    info: {
      vendor: "mesa",
      architecture: "software",
      device: "llvmpipe-8-",
      description: "llvmpipe",
      isFallbackAdapter: true,
      subgroupMinSize: 8,
      subgroupMaxSize: 8,
    },
    features: new Set(["shader-f16"]),
    limits: { maxBufferSize: 1024, absent: undefined },
    requestDevice: async (descriptor: unknown) => asked.push(descriptor),
  };
  const flags: string[][] = [];
  const create = (options: string[]) => {
    flags.push(options);
    return { requestAdapter: async () => adapter };
  };
  const binding = await NodeBinding.open({ enable: ["a", "b"], disable: [] }, async () => ({ create }));
  const found = (await binding.requestAdapter({}))!;
  expect(flags).toEqual([[expect.stringMatching(/^backend=/), "enable-dawn-features=a,b"]]);
  expect(found.info).toMatchObject({ device: "llvmpipe-8", type: 3, subgroupSize: 8 });
  await found.requestDevice(["subgroups", "shader-f16"]);
  expect(asked).toEqual([{ requiredFeatures: ["shader-f16"], requiredLimits: { maxBufferSize: 1024 } }]);
  expect(found.memoryHeaps()).toEqual([]);
});
