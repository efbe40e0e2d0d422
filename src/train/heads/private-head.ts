/**
 * A second head that stays with who trains it (`train --head sparse-etf --private-head OUT`), where several train one
 * body in turn with averaging. The own head is averaged with the body and goes round; the private one is trained on the
 * same features, from which no gradient goes back, and is kept in OUT: the model of the result with the private head in
 * place of its own. `--private-from` goes on from the OUT of the round before.
 *
 * Xiao et al., "FedLoGe: Joint Local and Generic Federated Learning under Long-tailed Data", ICLR 2024,
 * https://arxiv.org/abs/2401.08977
 */
import { patchedValues } from "../../checkpoint/adapter/adapter.ts";
import type { Checkpoint, LineageEntry, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../checkpoint/decode.ts";
import { ofSecondResult } from "../../checkpoint/lineage/lineage.ts";
import { open } from "../../checkpoint/open.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { isOfHead } from "../../model/adapters/head.ts";
import type { Model } from "../../model/model.ts";
import { checkSave, prepareSave, saveModel } from "../../model/save.ts";
import type { Built, Opened } from "../../run/training/technique.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Modules of the head where the architecture does not say. */
const HEAD = ["classifier"];

/** Opens what --private-from names. Throws UserError where it is not a checkpoint. */
export const openPrivate = (ref: string | undefined): Promise<Checkpoint> | undefined =>
  ref === undefined ? undefined : open(ref);

async function fill(parameter: Parameter, entry: TensorEntry): Promise<void> {
  const bytes = new Uint8Array(entry.bytes);
  if (!entry.patch) await entry.read(bytes, 0);
  const values = entry.patch ? await patchedValues(entry) : decodeFloats(bytes, entry.dtype);
  parameter.write(parameter.dtype === "f32" ? values : new Uint16Array(encodeFloats(values, "BF16").slice().buffer));
}

const copy = (gpu: Gpu, from: Parameter, to: Parameter): void =>
  gpu.copy(from.buffer, 0, to.buffer, 0, Math.ceil(from.bytes / 4) * 4);

export class PrivateHead {
  /** The private weights, by those of the model's own head. */
  readonly of: ReadonlyMap<Parameter, Parameter>;
  readonly #model: Model;

  private constructor(model: Model, of: ReadonlyMap<Parameter, Parameter>) {
    this.#model = model;
    this.of = of;
  }

  /**
   * Begins as the model's own head, or as that of a checkpoint; the values of a run that resumes come from its state.
   * Throws UserError under an adapter, where no head is trained, for a checkpoint of another head, and where the target
   * cannot be written.
   */
  static async make({ model, files, resumed }: Built, target: string, from: Checkpoint | undefined) {
    const { gpu, architecture } = model;
    if (target === "-" || target.startsWith("hf:"))
      throw new UserError(`--private-head ${target} is no place on disk`, "name a folder or a file");
    if (model.adapter)
      throw new UserError("--private-head keeps a whole model, and an adapter is trained", "leave the adapter out");
    const own = model.trainable().filter(({ name }) => isOfHead(name, architecture.headModules ?? HEAD));
    if (own.length === 0)
      throw new UserError(
        "--private-head is a second head beside the model's own, and none is trained",
        "train the classifier too: change --freeze or --train-only",
      );
    const entries = own.map(({ name, shape }) => from && headEntry(from, name, shape));
    if (gpu.dry) await checkSave(model, target, { files, lineage: [] });
    else await (await prepareSave(model, target, { files, lineage: [] }))?.abort();
    const of = new Map(own.map((p) => [p, new Parameter(gpu, `private.${p.name}`, p.shape, p.dtype)] as const));
    if (!gpu.dry && !resumed)
      for (const [i, [parameter, second]] of [...of].entries()) {
        const entry = entries[i];
        if (entry) await fill(second, entry);
        else copy(gpu, parameter, second);
      }
    return new PrivateHead(model, of);
  }

  get parameters(): Parameter[] {
    return [...this.of.values()];
  }

  /** What it says of rows of what the head reads. `head` is the model's own. */
  logits(rec: Recorder, head: (hidden: Tensor) => Tensor, hidden: Tensor): Tensor {
    return rec.standingIn(this.of, () => head(hidden));
  }

  /** Writes the model with this head in place of its own, which it has again afterwards. */
  async save(target: string, files: Opened["files"], lineage: readonly LineageEntry[]): Promise<void> {
    const { gpu } = this.#model;
    const swapped = [...this.of].map(([own, second]) => {
      const kept = new Parameter(gpu, `kept.${own.name}`, own.shape, own.dtype, false);
      copy(gpu, own, kept);
      copy(gpu, second, own);
      return { own, kept };
    });
    try {
      await saveModel(this.#model, target, { files, lineage: ofSecondResult(lineage, "private_head") });
    } finally {
      for (const { own, kept } of swapped) {
        copy(gpu, kept, own);
        kept.free();
      }
    }
  }

  free(): void {
    for (const parameter of this.of.values()) parameter.free();
  }
}

/** The tensor of a head in an earlier model. Throws UserError where it is not there, or of another shape. */
function headEntry({ tensors, ref }: Checkpoint, name: string, shape: readonly number[]): TensorEntry {
  const entry = tensors.get(name);
  if (entry?.shape.join() === shape.join()) return entry;
  throw new UserError(
    `--private-from ${ref} has ${entry ? `${name} of shape (${entry.shape.join(", ")})` : `no ${name}`}, and the model's is (${shape.join(", ")})`,
    "name what --private-head wrote for the same classes",
  );
}
