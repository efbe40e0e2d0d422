import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { advise, type Found } from "../../src/setup/advice.ts";
import { gpuHardware } from "../../src/setup/gpu-hardware.ts";

const NOTHING: Found = {
  platform: "linux",
  packages: true,
  adapterType: "cpu",
  loader: true,
  drivers: [{ manifest: "/usr/share/vulkan/icd.d/lvp_icd.json", answers: true }],
  hardware: { vendors: [], nvidiaDriver: false, nodes: [], container: false, wsl: false },
};
const withHardware = (hardware: Partial<Found["hardware"]>, rest: Partial<Found> = {}): Found => ({
  ...NOTHING,
  ...rest,
  hardware: { ...NOTHING.hardware, ...hardware },
});
const NVIDIA_MANIFEST = "/etc/vulkan/icd.d/nvidia_icd.json";

describe("advice", () => {
  test("is empty when a GPU is in use", () => {
    expect(advise(withHardware({ vendors: ["NVIDIA"] }, { adapterType: "discrete" }))).toEqual([]);
  });

  test("says that there is no GPU rather than what to install for one", () => {
    expect(advise(NOTHING)).toEqual(["no GPU was found on this machine"]);
  });

  test("names what is missing for an NVIDIA GPU, from the kernel driver to the library", () => {
    const gpu = { vendors: ["NVIDIA"] as const };
    const loaded = { ...gpu, nvidiaDriver: true };
    const [driver] = advise(withHardware(gpu));
    const [container] = advise(withHardware({ ...gpu, container: true }));
    const [capabilities] = advise(withHardware({ ...loaded, container: true }));
    const [vulkan] = advise(withHardware(loaded));
    const [library] = advise(withHardware(loaded, { drivers: [{ manifest: NVIDIA_MANIFEST, answers: false }] }));
    expect(driver).toContain("install nvidia-driver (Debian)");
    expect(container).toContain("--gpus all");
    expect(capabilities).toContain("NVIDIA_DRIVER_CAPABILITIES=graphics,compute");
    expect(vulkan).toContain("nvidia-vulkan-icd (Debian)");
    expect(library).toContain(`${NVIDIA_MANIFEST} gives no adapter`);
  });

  test("tells a closed device file from a missing driver on AMD and Intel", () => {
    const node = (usable: boolean) => [{ path: "/dev/dri/renderD128", usable }];
    expect(advise(withHardware({ vendors: ["AMD"], nodes: node(false) }))[0]).toBe(
      "/dev/dri/renderD128 cannot be opened by this user: add it to the groups render and video",
    );
    expect(advise(withHardware({ vendors: ["AMD"], nodes: node(true) }))[0]).toContain("vulkan-radeon (Arch)");
    expect(advise(withHardware({ vendors: ["Intel"], nodes: node(true) }))[0]).toContain("vulkan-intel (Arch)");
    expect(advise(withHardware({ vendors: ["Intel"], container: true }))[0]).toContain("--device /dev/dri");
  });

  test("ends with the software driver when nothing answers", () => {
    const lines = advise({ ...NOTHING, adapterType: undefined, loader: false, drivers: [] });
    expect(lines[0]).toContain("no Vulkan loader: install libvulkan1");
    expect(lines.at(-1)).toContain("bun run doctor --fix");
  });

  test("without packages is to install them", () => {
    expect(advise({ ...NOTHING, packages: false })).toEqual(["the packages are not installed: run bun install"]);
  });
});

test("GPUs are found on the bus by class and maker", () => {
  const root = mkdtempSync(join(tmpdir(), "ingot-hardware-"));
  try {
    const put = (path: string, text = "") => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    };
    put("sys/bus/pci/devices/0000:01:00.0/class", "0x030200\n");
    put("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n");
    put("sys/bus/pci/devices/0000:02:00.0/class", "0x020000\n"); // a network card
    put("sys/bus/pci/devices/0000:02:00.0/vendor", "0x8086\n");
    put("proc/driver/nvidia/version", "1");
    put("dev/nvidia0");
    put("dev/nvidia-uvm");
    put("dev/dri/renderD128");
    put(".dockerenv");
    const found = gpuHardware(root);
    expect(found).toMatchObject({ vendors: ["NVIDIA"], nvidiaDriver: true, container: true, wsl: false });
    expect(found.nodes.map((node) => node.path).sort()).toEqual(["/dev/dri/renderD128", "/dev/nvidia0"]);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
