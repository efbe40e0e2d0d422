import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { cacheFolders } from "../../src/cache-folders.ts";
import {
  DRIVER,
  driverManifests,
  LOADER,
  MANIFEST,
  swiftShaderFolder,
  swiftShaderRuns,
} from "../../src/gpu/swiftshader.ts";
import { checkAdapter } from "../../src/setup/check-adapter.ts";
import { manifestWithLibrary, unpackSwiftShader } from "../../src/setup/fetch-swiftshader.ts";
import { run } from "../../src/setup/run.ts";

const SOURCE = join(import.meta.dir, "..", "..", "src");
const PUBLISHED = `{"file_format_version": "1.0.0", "ICD": {"library_path": "./${DRIVER}", "api_version": "1.0.5"}}`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-swiftshader-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function archiveOf(files: Record<string, string>): Promise<Uint8Array> {
  return brotliCompressSync(await new Bun.Archive(files).bytes());
}

describe("the driver manifest", () => {
  test("names its library in full and keeps the rest", () => {
    expect(JSON.parse(manifestWithLibrary(PUBLISHED, "/a/b.so"))).toEqual({
      file_format_version: "1.0.0",
      ICD: { library_path: "/a/b.so", api_version: "1.0.5" },
    });
  });

  test("that names no library is refused", () => {
    expect(() => manifestWithLibrary("{}", "/a/b.so")).toThrow("expected a driver manifest with ICD.library_path");
  });
});

describe("unpacking", () => {
  test("keeps the driver, its loader and its manifest, and replaces what was there", async () => {
    const target = join(folder, "driver");
    mkdirSync(target);
    writeFileSync(join(target, "old"), "");
    const archive = await archiveOf({
      [DRIVER]: "driver",
      [LOADER]: "loader",
      [MANIFEST]: PUBLISHED,
      "libEGL.so": "egl",
    });
    await unpackSwiftShader(archive, target);
    expect(readdirSync(target).sort()).toEqual([DRIVER, LOADER, MANIFEST].sort());
    expect(readFileSync(join(target, DRIVER), "utf8")).toBe("driver");
    expect(JSON.parse(readFileSync(join(target, MANIFEST), "utf8")).ICD.library_path).toBe(join(target, DRIVER));
    expect(readdirSync(folder)).toEqual(["driver"]);
  });

  test("of an archive without the driver leaves nothing behind", async () => {
    const archive = await archiveOf({ [LOADER]: "loader" });
    await expect(unpackSwiftShader(archive, join(folder, "driver"))).rejects.toThrow(
      `expected ${DRIVER} in the archive of SwiftShader, found ${LOADER}`,
    );
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("the cache folder", () => {
  const environment = { HOME: "/home/a", XDG_CACHE_HOME: "/cache", LOCALAPPDATA: "/local" };

  test("is INGOT_CACHE alone when that is set", () => {
    expect(cacheFolders({ ...environment, INGOT_CACHE: "/own" }, "linux")).toEqual(["/own"]);
  });

  test("is the system's for this user, then one in the temporary folder", () => {
    const first = (platform: string, env: Record<string, string>) => cacheFolders(env, platform)[0];
    expect(first("linux", environment)).toBe(join("/cache", "ingot"));
    expect(first("linux", { HOME: "/home/a" })).toBe(join("/home/a", ".cache", "ingot"));
    expect(first("linux", { HOME: "/home/a", XDG_CACHE_HOME: "here" })).toBe(join("/home/a", ".cache", "ingot"));
    expect(first("darwin", { HOME: "/home/a" })).toBe(join("/home/a", "Library", "Caches", "ingot"));
    expect(first("win32", environment)).toBe(join("/local", "ingot"));
    expect(cacheFolders(environment, "linux")[1]).toStartWith(tmpdir());
  });
});

test("driver manifests are found where a Vulkan loader looks", () => {
  const icd = join(folder, "share", "vulkan", "icd.d");
  mkdirSync(icd, { recursive: true });
  writeFileSync(join(icd, "own.json"), "{}");
  writeFileSync(join(icd, "readme.txt"), "");
  const env = { HOME: folder, XDG_DATA_DIRS: join(folder, "share"), XDG_CONFIG_DIRS: folder };
  expect(driverManifests(env).filter((file) => file.startsWith(folder))).toEqual([join(icd, "own.json")]);
  const named = join(icd, "own.json");
  expect(driverManifests({ ...env, VK_DRIVER_FILES: `${named}:${join(icd, "gone.json")}` })).toEqual([named]);
});

describe.skipIf(!swiftShaderRuns())("using a fetched driver (64-bit x86 Linux only)", () => {
  /** What native code sees of VK_DRIVER_FILES after the call, and what the call returned. */
  async function use(env: Record<string, string | undefined>, when = "missing") {
    const script = `
      import { CString, dlopen, ptr } from "bun:ffi";
      import { useSwiftShader } from ${JSON.stringify(join(SOURCE, "gpu", "swiftshader.ts"))};
      const changed = [useSwiftShader("${when}"), useSwiftShader("${when}")];
      const { symbols } = dlopen("libc.so.6", { getenv: { args: ["ptr"], returns: "ptr" } });
      const value = symbols.getenv(ptr(Buffer.from("VK_DRIVER_FILES\\0")));
      console.log(JSON.stringify({ changed, native: value ? String(new CString(value)) : null }));`;
    const clean = { VK_DRIVER_FILES: undefined, VK_ICD_FILENAMES: undefined, INGOT_DRIVER: undefined };
    const ended = await run([process.execPath, "-e", script], { env: { ...clean, INGOT_CACHE: folder, ...env } });
    expect(ended.stderr).toBe("");
    return JSON.parse(ended.stdout) as { changed: boolean[]; native: string | null };
  }

  const put = () => {
    const driver = swiftShaderFolder(folder);
    mkdirSync(driver);
    writeFileSync(join(driver, MANIFEST), PUBLISHED);
    return driver;
  };

  test("names its manifest where native code sees it, once", async () => {
    const driver = put();
    const expected = { changed: [true, false], native: join(driver, MANIFEST) };
    expect(await use({ INGOT_DRIVER: "swiftshader" })).toEqual(expected);
    expect(await use({}, "always")).toEqual(expected);
  });

  test("leaves a driver alone that the user chose, and every one when told so", async () => {
    put();
    const chosen = join(folder, "own.json");
    writeFileSync(chosen, "{}");
    expect((await use({ VK_DRIVER_FILES: chosen }, "always")).native).toBe(chosen);
    expect(await use({ INGOT_DRIVER: "system" }, "always")).toEqual({ changed: [false, false], native: null });
  });

  test("does nothing when there is none, or when others could have written it", async () => {
    const nothing = { changed: [false, false], native: null };
    expect(await use({}, "always")).toEqual(nothing);
    chmodSync(put(), 0o777);
    expect(await use({}, "always")).toEqual(nothing);
  });
});

test.skipIf(process.platform !== "linux")("a driver that is not there is an answer, not a crash", async () => {
  const answer = await checkAdapter({ VK_DRIVER_FILES: join(folder, "none.json"), INGOT_DRIVER: "system" });
  expect(answer.adapter).toBeUndefined();
  expect(answer.error).toContain("No Vulkan adapter");
});

// Fetches 70 MB from the package registry: only when asked for.
test.skipIf(!process.env.INGOT_TEST_SETUP || !swiftShaderRuns())(
  "SwiftShader is fetched, answers, and computes right (INGOT_TEST_SETUP=1)",
  async () => {
    const fetch = `import { fetchSwiftShader } from ${JSON.stringify(join(SOURCE, "setup", "fetch-swiftshader.ts"))}; await fetchSwiftShader();`;
    const env = { INGOT_CACHE: folder, INGOT_DRIVER: "swiftshader" };
    expect(await run([process.execPath, "-e", fetch], { env })).toMatchObject({ code: 0, stderr: "" });
    const answer = await checkAdapter(env);
    expect(answer.error).toBeUndefined();
    expect(answer.adapter?.description).toContain("SwiftShader");
  },
);
