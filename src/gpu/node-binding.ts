/**
 * WebGPU by `webgpu`, Dawn's own binding for Node, where it is installed. It has builds for more systems (Linux on ARM
 * among them) and is newer than what `bun-webgpu` ships; it says neither what kind of adapter it found nor how much
 * memory that has, and every mapped range is a new array.
 */
import { UserError } from "../errors.ts";
import type { Toggles } from "./dawn/adapter.ts";
import { withoutLines } from "./native-words.ts";
import type { ProvidedAdapter, ProviderInstance } from "./provider.ts";
import { StandardAdapter } from "./standard-adapter.ts";

/** The package's name; not a literal in `import`, as it need not be there. */
const PACKAGE = "webgpu";

/** What the binding calls the backends that `dawn.ts` asks for. */
const BACKEND = { linux: "vulkan", darwin: "metal", win32: "d3d12" }[process.platform as string] ?? "vulkan";

/** The same in what people read. */
const SPELLED = { vulkan: "Vulkan", metal: "Metal", d3d12: "D3D12" }[BACKEND] ?? BACKEND;

/** What Dawn says of every adapter with more buffers than it counts; no limit of ours comes near. */
const LIMITS = /^Warning: maxDynamic(Uniform|Storage)BuffersPerPipelineLayout artificially reduced /;

interface Binding {
  create(options: string[]): GPU;
}

const isBinding = (module: unknown): module is Binding =>
  typeof module === "object" && module !== null && "create" in module && typeof module.create === "function";

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
    return adapter && new StandardAdapter(adapter, SPELLED);
  }

  mappedView(buffer: GPUBuffer): Uint8Array {
    return new Uint8Array(buffer.getMappedRange());
  }

  releaseBindGroup(): void {} // the garbage collector does
}
