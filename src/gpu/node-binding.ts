/**
 * WebGPU by `webgpu`, Dawn's own binding for Node, where it is installed. It has builds for more systems (Linux on ARM
 * among them) and is newer than what `bun-webgpu` ships; it says neither what kind of adapter it found nor how much
 * memory that has, and every mapped range is a new array.
 */
import { UserError } from "../errors.ts";
import type { AdapterInfo, Toggles } from "./dawn/adapter.ts";
import { withoutLines } from "./native-words.ts";
import type { ProvidedAdapter, ProviderInstance } from "./provider.ts";

/** The package's name; not a literal in `import`, as it need not be there. */
const PACKAGE = "webgpu";

/** What the binding calls the backends that `dawn.ts` asks for. */
const BACKEND = { linux: "vulkan", darwin: "metal", win32: "d3d12" }[process.platform as string] ?? "vulkan";

/** What Dawn says of every adapter with more buffers than it counts; no limit of ours comes near. */
const LIMITS = /^Warning: maxDynamic(Uniform|Storage)BuffersPerPipelineLayout artificially reduced /;

interface Binding {
  create(options: string[]): GPU;
}

const isBinding = (module: unknown): module is Binding =>
  typeof module === "object" && module !== null && "create" in module && typeof module.create === "function";

/** WGPUAdapterType, as adapter.ts has it: the binding says only which adapters compute on the processor. */
const TYPE = { cpu: 3, unknown: 4 };

/** Names of properties, those that a prototype has too. */
const namesOf = (object: object): string[] => {
  const names: string[] = [];
  for (const name in object) names.push(name);
  return names;
};

function infoOf({ info }: GPUAdapter): AdapterInfo {
  const sizes = { least: Reflect.get(info, "subgroupMinSize"), most: Reflect.get(info, "subgroupMaxSize") };
  const subgroupSize = typeof sizes.least === "number" && sizes.least === sizes.most ? sizes.least : 0;
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device.replace(/-$/, ""),
    description: info.description,
    backend: { vulkan: "Vulkan", metal: "Metal", d3d12: "D3D12" }[BACKEND] ?? BACKEND,
    type: info.isFallbackAdapter ? TYPE.cpu : TYPE.unknown,
    subgroupSize,
  };
}

class NodeAdapter implements ProvidedAdapter {
  readonly #adapter: GPUAdapter;
  readonly info: AdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number>>;

  constructor(adapter: GPUAdapter) {
    this.#adapter = adapter;
    this.info = infoOf(adapter);
    this.features = new Set([...adapter.features]);
    const limits = namesOf(adapter.limits).map((name) => [name, Reflect.get(adapter.limits, name)] as const);
    this.limits = Object.fromEntries(limits.filter(([, value]) => typeof value === "number"));
  }

  memoryHeaps() {
    return [];
  }

  requestDevice(wanted: readonly string[]): Promise<GPUDevice> {
    const has = (name: string): name is GPUFeatureName => this.features.has(name);
    return this.#adapter.requestDevice({ requiredFeatures: wanted.filter(has), requiredLimits: this.limits });
  }
}

/** Instances that are in use: one that is collected takes its devices with it. */
const opened: GPU[] = [];

export class NodeBinding implements ProviderInstance {
  readonly #gpu: GPU;

  private constructor(gpu: GPU) {
    this.#gpu = gpu;
    opened.push(gpu);
  }

  /** Throws a UserError when the package is not installed, or has no build for this system. */
  static async open({ enable, disable }: Toggles, load = (name: string): Promise<unknown> => import(name)) {
    const module = await load(PACKAGE).catch((error: unknown) => {
      const why = error instanceof Error ? error.message.split("\n")[0] : String(error);
      throw new UserError(
        `INGOT_WEBGPU=${PACKAGE}: the package cannot be loaded: ${why}`,
        `install it beside the others, as docs/doctor.md says; or unset INGOT_WEBGPU`,
        1,
      );
    });
    if (!isBinding(module)) throw new UserError(`${PACKAGE}: the package has no create()`, "unset INGOT_WEBGPU", 1);
    const flags = [
      `backend=${BACKEND}`,
      ...(enable.length > 0 ? [`enable-dawn-features=${enable.join(",")}`] : []),
      ...(disable.length > 0 ? [`disable-dawn-features=${disable.join(",")}`] : []),
    ];
    return new NodeBinding(module.create(flags));
  }

  async requestAdapter(options: GPURequestAdapterOptions): Promise<ProvidedAdapter | null> {
    const adapter = await withoutLines(LIMITS, () => this.#gpu.requestAdapter(options));
    return adapter && new NodeAdapter(adapter);
  }

  mappedView(buffer: GPUBuffer): Uint8Array {
    return new Uint8Array(buffer.getMappedRange());
  }

  releaseBindGroup(): void {} // the garbage collector does
}
