/**
 * What of a GPU the operating system shows, whether or not a Vulkan driver speaks for it. Linux only; nothing
 * elsewhere.
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export type Vendor = "NVIDIA" | "AMD" | "Intel";

export interface GpuHardware {
  /** Makers of the display controllers and accelerators on the PCI bus, one each. */
  readonly vendors: readonly Vendor[];
  /** NVIDIA's kernel driver is loaded, here or on the host of this container. */
  readonly nvidiaDriver: boolean;
  /** Device files that a Vulkan driver opens, and whether this user may. */
  readonly nodes: readonly { readonly path: string; readonly usable: boolean }[];
  readonly container: boolean;
  readonly wsl: boolean;
}

const VENDORS: Readonly<Record<string, Vendor>> = { "0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel" };
/** PCI classes: display controller, processing accelerator. */
const GPU_CLASSES = ["0x03", "0x12"];

const list = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

function readLine(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return "";
  }
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Looks under `root`, which is only another folder in tests. */
export function gpuHardware(root = "/"): GpuHardware {
  const at = (path: string) => join(root, path);
  const pci = at("sys/bus/pci/devices");
  const vendors = list(pci)
    .filter((device) => GPU_CLASSES.includes(readLine(join(pci, device, "class")).slice(0, 4)))
    .flatMap((device) => VENDORS[readLine(join(pci, device, "vendor"))] ?? []);
  const nodes = [
    ...list(at("dev/dri")).map((name) => `dev/dri/${name}`),
    ...list(at("dev")).map((name) => `dev/${name}`),
  ].filter((path) => /^dev\/(dri\/renderD\d+|nvidia(\d+|ctl)|dxg)$/.test(path));
  return {
    vendors: [...new Set(vendors)],
    nvidiaDriver: existsSync(at("proc/driver/nvidia/version")),
    nodes: nodes.map((path) => ({ path: `/${path}`, usable: isUsable(at(path)) })),
    container: ["run/.containerenv", ".dockerenv"].some((mark) => existsSync(at(mark))),
    wsl: existsSync(at("dev/dxg")),
  };
}
