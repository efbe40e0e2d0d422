/** An adapter of WebGPU's standard interface, as a browser has it and Dawn's binding for Node. */
import type { AdapterInfo } from "./dawn/adapter.ts";
import type { ProvidedAdapter } from "./provider.ts";

/** WGPUAdapterType, as adapter.ts has it: the interface says only which adapters compute on the processor. */
const TYPE = { cpu: 3, unknown: 4 };

/** Names of properties, those that a prototype has too. */
const namesOf = (object: object): string[] => {
  const names: string[] = [];
  for (const name in object) names.push(name);
  return names;
};

function infoOf({ info }: GPUAdapter, backend: string): AdapterInfo {
  const sizes = { least: Reflect.get(info, "subgroupMinSize"), most: Reflect.get(info, "subgroupMaxSize") };
  const subgroupSize = typeof sizes.least === "number" && sizes.least === sizes.most ? sizes.least : 0;
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device.replace(/-$/, ""),
    description: info.description,
    backend,
    type: info.isFallbackAdapter ? TYPE.cpu : TYPE.unknown,
    subgroupSize,
  };
}

export class StandardAdapter implements ProvidedAdapter {
  readonly #adapter: GPUAdapter;
  readonly info: AdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number>>;

  /** `backend`: what it is called in what people read. */
  constructor(adapter: GPUAdapter, backend: string) {
    this.#adapter = adapter;
    this.info = infoOf(adapter, backend);
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
