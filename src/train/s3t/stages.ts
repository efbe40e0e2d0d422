/**
 * Training of one order of a shard's slices: in stage k, on the rows of its first k slices, the adapters of the k-th
 * group of layers, the topmost group first, and the head; what earlier stages learnt stays.
 *
 * "Towards Scalable Exact Machine Unlearning Using Parameter-Efficient Fine-Tuning", ICLR 2025,
 * https://arxiv.org/abs/2406.16257
 */
import { UserError } from "../../errors.ts";
import { stagePrefix } from "../../model/adapters/bank/manifest.ts";
import type { AdapterTensor } from "../../model/adapters/live-adapter.ts";
import { turn } from "../../model/adapters/lora/factor-files.ts";
import { LoraAdapter } from "../../model/adapters/lora/lora.ts";
import type { Model } from "../../model/model.ts";
import { layerOf } from "../../model/names.ts";
import type { KeptTensor } from "../../run/kept-runs.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { sizeOf } from "../../tensor/tensor.ts";

/** An adapter whose groups are trained apart. */
export class StagedAdapter {
  readonly #model: Model;
  readonly #groups: readonly (readonly AdapterTensor[])[];
  readonly #head: readonly AdapterTensor[];
  readonly #begun: ReadonlyMap<Parameter, Float32Array>;

  private constructor(
    model: Model,
    groups: readonly (readonly AdapterTensor[])[],
    head: readonly AdapterTensor[],
    begun: ReadonlyMap<Parameter, Float32Array>,
  ) {
    this.#model = model;
    this.#groups = groups;
    this.#head = head;
    this.#begun = begun;
  }

  /** Of a model with a new LoRA adapter. Throws UserError where a group has no layer that is adapted. */
  static async of(model: Model, slices: number): Promise<StagedAdapter> {
    const { adapter, gpu } = model;
    if (!(adapter instanceof LoraAdapter)) throw new Error("stages are of a LoRA adapter");
    const { layers } = model.sizes;
    const each = layers / slices;
    const groups = Array.from({ length: slices }, (): AdapterTensor[] => []);
    for (const [module, { files }] of adapter.entries) {
      const layer = layerOf(`${module}.weight`)?.index;
      if (layer === undefined || layer >= layers)
        throw new UserError(`--lora-targets: ${module} is in no layer`, "choose layers of the model's blocks");
      groups[Math.floor((layers - 1 - layer) / each)]!.push(...files);
    }
    const empty = groups.findIndex((group) => group.length === 0);
    if (empty >= 0)
      throw new UserError(
        `no layer of group ${empty + 1} from the top is adapted`,
        "choose --lora-targets that every block has",
      );
    const head = [...adapter.whole.values()].map((parameter) => {
      const { name, shape } = parameter;
      return { name, shape, parameter, start: 0 };
    });
    const begun = new Map<Parameter, Float32Array>();
    for (const { parameter } of [...groups.flat(), ...head])
      if (!begun.has(parameter)) begun.set(parameter, await gpu.readFloats(parameter.buffer, parameter.size));
    return new StagedAdapter(model, groups, head, begun);
  }

  /** Gives everything the values that it began with. */
  begin(): void {
    for (const [parameter, values] of this.#begun) parameter.write(values);
  }

  /** Says what a stage, from 1, trains: its group and the head. */
  enter(stage: number): void {
    for (const [i, group] of this.#groups.entries())
      for (const { parameter } of group) parameter.trainable = i === stage - 1;
  }

  /** What a stage trained, under its names in the bank. */
  async stored(order: number, stage: number): Promise<KeptTensor[]> {
    const { gpu } = this.#model;
    const found: KeptTensor[] = [];
    for (const { name, shape, parameter, start, turned } of [...this.#groups[stage - 1]!, ...this.#head]) {
      const all = await gpu.readFloats(parameter.buffer, parameter.size);
      const own = all.slice(start, start + sizeOf(shape));
      found.push({ name: stagePrefix(order, stage) + name, shape, values: turned ? turn(own, turned) : own });
    }
    return found;
  }
}
