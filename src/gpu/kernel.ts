/**
 * Kernels: WGSL files linked by wesl, compiled once per variant, bound by name.
 *
 * `merge/combine` is `wgsl/merge/combine.wgsl`, its entry point `combine`. A kernel file declares one uniform `params`
 * of type `Params` (4-byte scalars only) and storage buffers, all in group 0; `@if(flag)` selects variants; files of
 * `wgsl/lib` are imported with `import package::lib::name::function;`.
 */
import type { Device } from "./device.ts";
import { linked } from "./linked.ts";
import { kernelText } from "./sources.ts";

/** What selects a variant: conditions of `@if` and values of `override` constants. */
export interface Variant {
  readonly flags?: readonly string[];
  readonly constants?: Readonly<Record<string, number>>;
}

export interface Binding {
  readonly name: string;
  readonly slot: number;
  readonly access: "read" | "read_write";
}

interface Param {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32";
  readonly offset: number;
}

/** Slots and uniform offsets, by name, of linked WGSL. Sizes are never derived from `arrayLength`. */
export interface Layout {
  readonly bindings: readonly Binding[];
  readonly params: readonly Param[];
  readonly paramsSlot: number | undefined;
  /** Bytes of the uniform, a multiple of 16. */
  readonly paramsBytes: number;
  /** Invocations per workgroup along x. */
  readonly workgroup: number;
}

/** Reads the declarations of group 0, the fields of `Params` and the workgroup size out of linked WGSL. */
export function layout(code: string, label: string, constants: Readonly<Record<string, number>> = {}): Layout {
  const bindings: Binding[] = [];
  let paramsSlot: number | undefined;
  const declarations =
    /@group\(0\)\s*@binding\((\d+)\)\s*var\s*<\s*(storage|uniform)\s*(?:,\s*(read_write|read)\s*)?>\s*(\w+)/g;
  for (const [, slot, space, access, name] of code.matchAll(declarations)) {
    if (space === "uniform") paramsSlot = Number(slot);
    else bindings.push({ name: name!, slot: Number(slot), access: access === "read_write" ? "read_write" : "read" });
  }
  const body = /struct\s+Params\s*\{([^}]*)\}/.exec(code)?.[1] ?? "";
  const params = [...body.matchAll(/(\w+)\s*:\s*(u32|i32|f32)/g)].map(
    ([, name, type], index): Param => ({ name: name!, type: type as Param["type"], offset: 4 * index }),
  );
  const size = /@workgroup_size\(\s*(\w+)/.exec(code)?.[1];
  const fallback = new RegExp(`override\\s+${size}\\s*(?::\\s*u32)?\\s*=\\s*(\\d+)`).exec(code)?.[1];
  const workgroup = Number.isNaN(Number(size)) ? (constants[size ?? ""] ?? Number(fallback)) : Number(size);
  if (!(workgroup > 0)) throw new Error(`${label}: no @workgroup_size found`);
  return { bindings, params, paramsSlot, paramsBytes: Math.ceil((4 * params.length) / 16) * 16, workgroup };
}

/** How a kernel names a file of `wgsl/lib`: with underscores for dashes. */
export const LIB_IMPORT = /import\s+package::lib::(\w+)::/g;

/** The files that a kernel needs, by module path: itself and, through their imports, those of `wgsl/lib`. */
function modules(path: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (file: string) => {
    const key = `${file.replaceAll("-", "_")}.wgsl`;
    if (found[key] !== undefined) return;
    const text = kernelText(file);
    found[key] = text;
    for (const [, name] of text.matchAll(LIB_IMPORT)) visit(`lib/${name!.replaceAll("_", "-")}`);
  };
  visit(path);
  return found;
}

/** Links one kernel file with its imports under a set of conditions; returns plain WGSL. */
export function linkKernel(path: string, flags: readonly string[] = []): Promise<string> {
  const sources = modules(path);
  return linked({ path, flags, sources }, async () => {
    const { link } = await import("wesl/core");
    const { dest } = await link({
      weslSrc: sources,
      rootModuleName: `./${path.replaceAll("-", "_")}.wgsl`,
      conditions: Object.fromEntries(flags.map((flag) => [flag, true])),
    });
    return dest;
  });
}

/** A compiled variant of a kernel. */
export interface Kernel {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroupLayout;
  readonly layout: Layout;
}

/** COMPUTE of GPUShaderStage. */
const COMPUTE = 4;

/** Layouts of one device by what they bind: kernels that bind alike share one. */
class Layouts {
  readonly #device: GPUDevice;
  readonly #known = new Map<string, { readonly group: GPUBindGroupLayout; readonly pipeline: GPUPipelineLayout }>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /**
   * A layout read out of a shader knows how many bytes each of its bindings needs, so that hardly two kernels have the
   * same; and for each that differs Dawn has the driver make some hundred descriptor sets, which a software driver maps
   * one by one. Without those sizes there are a few dozen; they are checked when a kernel is dispatched.
   */
  of({ bindings, paramsSlot }: Layout) {
    const entries = bindings.map(({ slot, access }) => ({
      binding: slot,
      visibility: COMPUTE,
      buffer: { type: access === "read" ? ("read-only-storage" as const) : ("storage" as const) },
    }));
    const params = { binding: paramsSlot ?? 0, visibility: COMPUTE, buffer: { type: "uniform" as const } };
    const all = [...entries, ...(paramsSlot === undefined ? [] : [params])].sort((a, b) => a.binding - b.binding);
    const key = all.map(({ binding, buffer }) => `${binding} ${buffer.type}`).join();
    const known = this.#known.get(key);
    if (known) return known;
    const group = this.#device.createBindGroupLayout({ entries: all });
    const made = { group, pipeline: this.#device.createPipelineLayout({ bindGroupLayouts: [group] }) };
    this.#known.set(key, made);
    return made;
  }
}

/** The kernels of one device. Each variant is compiled once. */
export class Kernels {
  readonly #device: Device;
  readonly #layouts: Layouts;
  readonly #variants = new Map<string, Promise<Kernel>>();
  /** Error scopes nest, so one kernel is compiled at a time: otherwise one would be blamed for another's error. */
  #compiling: Promise<unknown> = Promise.resolve();

  constructor(device: Device) {
    this.#device = device;
    this.#layouts = new Layouts(device.device);
  }

  /**
   * A compiled kernel, by path, flags and constants. Throws with the compiler's message, which has line, column and a
   * caret.
   */
  get(path: string, variant: Variant = {}): Promise<Kernel> {
    const constants = Object.entries(variant.constants ?? {}).map(([k, v]) => `${k}=${v}`);
    const key = [path, ...(variant.flags ?? []), ...constants].join("+");
    let kernel = this.#variants.get(key);
    if (!kernel) {
      kernel = this.#compile(path, variant.flags ?? [], variant.constants ?? {});
      this.#variants.set(key, kernel);
    }
    return kernel;
  }

  async #compile(path: string, flags: readonly string[], constants: Record<string, number>): Promise<Kernel> {
    const code = await linkKernel(path, flags);
    const found = layout(code, path, constants);
    const label = [path, ...flags].join("+");
    const entryPoint = path.split("/").at(-1)!.replaceAll("-", "_");
    const { device } = this.#device;
    const turn = this.#compiling.then(async () => {
      device.pushErrorScope("validation");
      const module = device.createShaderModule({ code, label });
      const layouts = this.#layouts.of(found);
      const compute = { module, entryPoint, constants };
      const pipeline = device.createComputePipeline({ label, layout: layouts.pipeline, compute });
      const error = await device.popErrorScope();
      if (error) throw new Error(`${label} does not compile: ${error.message}\n${code}`);
      return { label, pipeline, group: layouts.group, layout: found };
    });
    this.#compiling = turn.catch(() => {});
    return turn;
  }
}

export type ParamValues = Readonly<Record<string, number>>;

/** Writes `values` into a uniform by name; a missing or unknown name is an error of the caller. */
export function packParams(kernel: Kernel, values: ParamValues, into: DataView): void {
  const { params } = kernel.layout;
  for (const { name, type, offset } of params) {
    const value = values[name];
    if (value === undefined) throw new Error(`${kernel.label}: parameter ${name} is missing`);
    if (type === "f32") into.setFloat32(offset, value, true);
    else if (type === "i32") into.setInt32(offset, value, true);
    else into.setUint32(offset, value >>> 0, true);
  }
  const unknown = Object.keys(values).find((name) => !params.some((param) => param.name === name));
  if (unknown !== undefined) throw new Error(`${kernel.label}: unknown parameter ${unknown}`);
}
