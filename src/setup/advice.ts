/**
 * Why no GPU is used, and what to install: a pure function of what was found, one sentence for each thing that is
 * missing.
 */
import type { GpuHardware } from "./gpu-hardware.ts";

export interface Found {
  readonly platform: string;
  readonly packages: boolean;
  /** Type of the adapter that ingot uses; undefined when none answers. */
  readonly adapterType: string | undefined;
  readonly hardware: GpuHardware;
  /** Whether a Vulkan loader is on the system. */
  readonly loader: boolean;
  /** The driver manifests on the system, each with whether its driver gave an adapter. */
  readonly drivers: readonly { readonly manifest: string; readonly answers: boolean }[];
}

const LOADER = "libvulkan1 (Debian, Ubuntu), vulkan-loader (Fedora) or vulkan-icd-loader (Arch)";

function nvidia({ hardware, drivers }: Found): string | undefined {
  const present = hardware.vendors.includes("NVIDIA") || hardware.nvidiaDriver;
  if (!present) return undefined;
  const manifest = drivers.find((driver) => /nvidia/i.test(driver.manifest));
  if (manifest?.answers) return undefined;
  if (!hardware.nvidiaDriver) {
    return hardware.container
      ? "an NVIDIA GPU is on the bus but not given to this container: start it with --gpus all"
      : "an NVIDIA GPU is on the bus but its kernel driver is not loaded: install nvidia-driver (Debian), or run ubuntu-drivers install";
  }
  if (hardware.container) {
    return "NVIDIA's driver is loaded but its Vulkan part is not in this container: start it with NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility (or all)";
  }
  if (!manifest) {
    return "NVIDIA's driver is loaded but its Vulkan part is not installed: nvidia-vulkan-icd (Debian), or libnvidia-gl of the driver's version (Ubuntu)";
  }
  return `${manifest.manifest} gives no adapter: its library needs libx11-6, libxext6 and libegl1 even without a screen; is it of the version of the kernel driver?`;
}

function mesa({ hardware, drivers }: Found, vendor: "AMD" | "Intel", pattern: RegExp): string | undefined {
  if (!hardware.vendors.includes(vendor)) return undefined;
  const manifests = drivers.filter((driver) => pattern.test(driver.manifest));
  if (manifests.some((driver) => driver.answers)) return undefined;
  const nodes = hardware.nodes.filter(({ path }) => path.startsWith("/dev/dri/"));
  if (nodes.length === 0) {
    return hardware.container
      ? `an ${vendor} GPU is on the bus but not given to this container: start it with --device /dev/dri`
      : `an ${vendor} GPU is on the bus but its kernel driver made no /dev/dri/renderD*: is it loaded?`;
  }
  const closed = nodes.find((node) => !node.usable);
  if (closed) return `${closed.path} cannot be opened by this user: add it to the groups render and video`;
  if (manifests.length === 0) {
    return `the Vulkan driver of the ${vendor} GPU is not installed: mesa-vulkan-drivers (Debian, Ubuntu, Fedora), vulkan-${vendor === "AMD" ? "radeon" : "intel"} (Arch)`;
  }
  return `Mesa's driver gave no adapter on the ${vendor} GPU: it may be too old for it; try a newer mesa-vulkan-drivers`;
}

/** What to do so that a GPU is used, or any adapter at all; empty when a GPU is used already. */
export function advise(found: Found): string[] {
  if (!found.packages) return ["the packages are not installed: run bun install"];
  const { adapterType, hardware, platform } = found;
  if (adapterType !== undefined && adapterType !== "cpu") return [];
  const advice: string[] = [];
  if (platform === "linux") {
    if (!found.loader) advice.push(`no Vulkan loader: install ${LOADER}`);
    for (const line of [
      nvidia(found),
      mesa(found, "AMD", /radeon|amd/i),
      mesa(found, "Intel", /intel/i),
      hardware.wsl
        ? "this is WSL: Vulkan on the GPU needs a Mesa with the dozen driver; running ingot in Windows itself uses the GPU directly"
        : undefined,
    ]) {
      if (line) advice.push(line);
    }
    if (hardware.vendors.length === 0 && !hardware.nvidiaDriver && !hardware.wsl)
      advice.push("no GPU was found on this machine");
  } else if (platform === "win32") {
    advice.push("Windows uses Direct3D 12: install the graphics driver of the GPU's maker");
  } else if (platform === "darwin") {
    advice.push("macOS uses Metal: a virtual machine needs a graphics device passed through");
  }
  if (adapterType === undefined) advice.push("bun run doctor --fix adds a software driver where the system allows");
  return advice;
}
