/** Everything that a bug report about set-up or the GPU needs, collected without changing anything. */

import { dlopen } from "bun:ffi";
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { cpus, freemem, homedir, release, tmpdir, totalmem, version } from "node:os";
import { join } from "node:path";
import { cacheFolders, nearestExisting } from "../cache-folders.ts";
import { PROVIDERS } from "../gpu/provider.ts";
import { cachedSwiftShader, driverManifests, LOADER, MANIFEST } from "../gpu/swiftshader.ts";
import { advise } from "./advice.ts";
import { type Answer, checkAdapter } from "./check-adapter.ts";
import { installedPackages, ROOT } from "./dependencies.ts";
import { parseOsRelease } from "./driver.ts";
import { type GpuHardware, gpuHardware } from "./gpu-hardware.ts";
import { run } from "./run.ts";

export interface Diagnosis {
  /** An adapter answered and the numbers of its kernel were right. */
  readonly ok: boolean;
  readonly versions: Readonly<Record<string, string>>;
  readonly system: Readonly<Record<string, string | number>>;
  /** "runtime": those of scripts, without those of tests. */
  readonly packages: "installed" | "runtime" | "out of date" | "missing";
  readonly providers: readonly { readonly name: string; readonly version: string; readonly asked: boolean }[];
  readonly check: Answer;
  readonly hardware: GpuHardware;
  readonly loader: boolean;
  /** Each Vulkan driver by itself: its manifest and the adapter it gave, or why it gave none. */
  readonly drivers: readonly { readonly manifest: string; readonly answer: Answer }[];
  readonly environment: Readonly<Record<string, string>>;
  readonly cache: readonly string[];
  readonly freeBytes: Readonly<Record<string, number>>;
  readonly advice: readonly string[];
}

const PACKAGES = { all: "installed", runtime: "runtime", none: "out of date" } as const;

const ENVIRONMENT = /^(VK_|INGOT_|MESA_|LP_|NVIDIA_|LIBGL_|XDG_(CACHE|CONFIG|DATA)_|__GLX|DRI_PRIME)/;

/** The version of a package in a folder's node_modules, or of ingot itself; undefined where it is not installed. */
function installedVersion(name: string, root: string): string | undefined {
  try {
    const file = name === "ingot" ? join(root, "package.json") : join(root, "node_modules", name, "package.json");
    return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
  } catch {
    return undefined;
  }
}

const packageVersion = (name: string): string => installedVersion(name, ROOT) ?? "not installed";

/** What gives out WebGPU: which are installed, and which one is asked. */
export const providersOf = (asked: string | undefined, root = ROOT): Diagnosis["providers"] =>
  PROVIDERS.map((name) => ({
    name,
    version: installedVersion(name, root) ?? "not installed",
    asked: name === (asked || PROVIDERS[0]),
  }));

function hasLoader(): boolean {
  try {
    dlopen(LOADER, { vkGetInstanceProcAddr: { args: ["ptr", "ptr"], returns: "ptr" } });
    return true;
  } catch {
    return false;
  }
}

/**
 * Version of the PowerShell that a pipe would run in; those before 7.4 re-encode the bytes that pass through a pipe.
 */
async function powerShell(): Promise<Record<string, string>> {
  if (process.platform !== "win32") return {};
  const ask = ["-NoProfile", "-Command", "$PSVersionTable.PSVersion.ToString()"];
  const answers = await Promise.all(["pwsh", "powershell"].map((shell) => run([shell, ...ask], { timeout: 20_000 })));
  const [pwsh, powershell] = answers.map((answer) => (answer.code === 0 ? answer.stdout.trim() : "none"));
  return { pwsh: pwsh ?? "none", powershell: powershell ?? "none" };
}

function freeBytes(path: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(nearestExisting(path));
    return bavail * bsize;
  } catch {
    return undefined;
  }
}

async function askDrivers(): Promise<Diagnosis["drivers"]> {
  if (process.platform !== "linux") return [];
  const fetched = cachedSwiftShader();
  const manifests = [...driverManifests(), ...(fetched ? [join(fetched, MANIFEST)] : [])];
  return Promise.all(
    [...new Set(manifests)].map(async (manifest) => ({
      manifest,
      // The old name of the variable too, for loaders that know no other.
      answer: await checkAdapter({ VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest, INGOT_DRIVER: undefined }),
    })),
  );
}

/** What to do first where another provider of WebGPU was asked for and gives nothing: drivers are not what is wrong. */
const withProvider = ({ adapter, hint }: Answer, advice: () => string[]): string[] =>
  !adapter && process.env.INGOT_WEBGPU && hint ? [hint] : advice();

/** Looks at everything once; a second or so where there are many drivers. */
export async function diagnose(): Promise<Diagnosis> {
  const providers = providersOf(process.env.INGOT_WEBGPU);
  const installed = providers.some(({ version }) => version !== "not installed");
  const none: Answer = { error: "the packages are not installed", hint: "run: bun install" };
  // By itself first, so that its times are those of any other start.
  const check = installed ? await checkAdapter({}, true) : none;
  const [drivers, shells] = await Promise.all([installed ? askDrivers() : [], powerShell()]);
  const hardware = gpuHardware();
  const loader = process.platform === "linux" && hasLoader();
  const osRelease = existsSync("/etc/os-release") ? parseOsRelease(readFileSync("/etc/os-release", "utf8")) : undefined;
  const environment = Object.entries(process.env).filter(([name]) => ENVIRONMENT.test(name)) as [string, string][];
  const mesaCache = process.env.MESA_SHADER_CACHE_DIR ?? join(homedir(), ".cache", "mesa_shader_cache");
  const places = { "this folder": process.cwd(), "temporary folder": tmpdir(), cache: cacheFolders()[0] ?? tmpdir() };
  return {
    ok: check.adapter !== undefined && check.error === undefined,
    versions: {
      ingot: packageVersion("ingot"),
      bun: `${Bun.version} (${Bun.revision.slice(0, 9)})`,
      wesl: packageVersion("wesl"),
      ...shells,
    },
    system: {
      platform: `${process.platform} ${process.arch}`,
      name: osRelease?.get("PRETTY_NAME") ?? version(),
      kernel: release(),
      cpu: `${cpus().length} x ${cpus()[0]?.model.trim() ?? "unknown"}`,
      memoryBytes: totalmem(),
      freeMemoryBytes: freemem(),
    },
    packages: installed ? PACKAGES[installedPackages() ?? "none"] : "missing",
    providers,
    check,
    hardware,
    loader,
    drivers,
    environment: Object.fromEntries(environment),
    cache: [...cacheFolders(), mesaCache].filter((folder) => existsSync(folder)),
    freeBytes: Object.fromEntries(
      Object.entries(places).flatMap(([name, path]) => {
        const bytes = freeBytes(path);
        return bytes === undefined ? [] : [[name, bytes]];
      }),
    ),
    advice: withProvider(check, () =>
      advise({
        platform: process.platform,
        packages: installed,
        adapterType: check.adapter?.type,
        hardware,
        loader,
        drivers: drivers.map(({ manifest, answer }) => ({ manifest, answers: answer.adapter !== undefined })),
      }),
    ),
  };
}
