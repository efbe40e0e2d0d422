/**
 * Puts SwiftShader, a software Vulkan driver that needs no installation, in place where a system has no driver.
 *
 * `device.ts` calls this before it opens Vulkan, so it is cheap where there is nothing to do, and it imports no
 * package. `../setup/fetch-swiftshader.ts` fills the folder that is searched here.
 */
import { dlopen } from "bun:ffi";
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { cacheFolders, isTrustedFolder } from "../cache-folders.ts";

/** The npm package that carries the driver; the folder's name changes with it. */
export const SWIFTSHADER = { package: "@sparticuz/chromium", version: "153.0.0" } as const;
export const LOADER = "libvulkan.so.1";
export const DRIVER = "libvk_swiftshader.so";
export const MANIFEST = "vk_swiftshader_icd.json";

export const swiftShaderFolder = (cache: string): string => join(cache, `swiftshader-${SWIFTSHADER.version}`);

/** Only the 64-bit x86 Linux build is published. */
export const swiftShaderRuns = (): boolean => process.platform === "linux" && process.arch === "x64";

/** The folder that holds a fetched SwiftShader, if there is one that only this user can have written. */
export function cachedSwiftShader(): string | undefined {
  return cacheFolders()
    .map(swiftShaderFolder)
    .find((folder) => existsSync(join(folder, MANIFEST)) && isTrustedFolder(folder));
}

/** The driver manifests that a Vulkan loader reads on Linux, in its order of search. */
export function driverManifests(env: Readonly<Record<string, string | undefined>> = process.env): string[] {
  const chosen = env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES;
  if (chosen) return chosen.split(delimiter).filter((file) => existsSync(file));
  const home = env.HOME ?? homedir();
  const roots = [
    env.XDG_CONFIG_HOME || join(home, ".config"),
    ...(env.XDG_CONFIG_DIRS || "/etc/xdg").split(delimiter),
    "/usr/local/etc",
    "/etc",
    env.XDG_DATA_HOME || join(home, ".local", "share"),
    ...(env.XDG_DATA_DIRS || "/usr/local/share:/usr/share").split(delimiter),
  ];
  return roots.flatMap((root) => {
    const folder = join(root, "vulkan", "icd.d");
    try {
      return readdirSync(folder)
        .filter((name) => name.endsWith(".json"))
        .map((name) => join(folder, name));
    } catch {
      return [];
    }
  });
}

/** Loads a library for the rest of the process, so that a later search for its soname finds it. */
function load(library: string): boolean {
  try {
    dlopen(library, { vkGetInstanceProcAddr: { args: ["ptr", "ptr"], returns: "ptr" } });
    return true;
  } catch {
    return false;
  }
}

/** The C library's own environment, which native code reads; assigning to process.env does not reach it. */
function nativeEnvironment() {
  const { symbols } = dlopen("libc.so.6", {
    getenv: { args: ["buffer"], returns: "cstring" },
    setenv: { args: ["buffer", "buffer", "int"], returns: "int" },
  });
  const text = (value: string) => Buffer.from(`${value}\0`);
  return {
    get: (name: string) => symbols.getenv(text(name))?.toString(),
    set: (name: string, value: string) => symbols.setenv(text(name), text(value), 1),
  };
}

/**
 * Puts what the system lacks of Vulkan in place from a fetched SwiftShader: the loader when there is none, the driver
 * when no driver is installed. With `"always"` its driver is used even if others are installed, for the case that those
 * gave no adapter. INGOT_DRIVER=swiftshader means the same, INGOT_DRIVER=system means never.
 *
 * Takes effect on WebGPU instances that are opened afterwards. Returns whether this call changed anything.
 */
export function useSwiftShader(when: "missing" | "always" = "missing"): boolean {
  const wanted = process.env.INGOT_DRIVER;
  if (wanted === "system" || !swiftShaderRuns()) return false;
  const folder = cachedSwiftShader();
  if (!folder) return false;
  const addLoader = !load(LOADER) && load(join(folder, LOADER));

  const always = when === "always" || wanted === "swiftshader";
  const needsDriver = always || driverManifests().length === 0;
  // A driver that the user chose by hand stays the only one, working or not.
  const chosen = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES;
  if (!needsDriver || (chosen && wanted !== "swiftshader")) return addLoader;
  const manifest = join(folder, MANIFEST);
  const native = nativeEnvironment();
  if (native.get("VK_DRIVER_FILES") === manifest) return addLoader; // by an earlier call
  // The second name is for loaders older than 1.3.207.
  for (const name of ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]) native.set(name, manifest);
  return true;
}
