/** A model that is measured together with another: what must hold of both. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { tokenClash } from "../../data/same-tokens.ts";
import { UserError } from "../../errors.ts";
import type { MixtureKind } from "../../tensor/ops/mixture.ts";
import type { StoredGate } from "../mixing/gate-file.ts";
import type { Reader } from "../scoring/read-rows.ts";
import type { Need } from "../scoring/scored-row.ts";

/** The other model, and how its outputs are mixed with those of the one that is measured. */
export interface MixedWith {
  readonly checkpoint: Checkpoint;
  readonly reader: Reader;
  readonly kind: MixtureKind;
  /** Weight of the other model; the measured one has the rest. */
  readonly weight: number;
  /** Factor of the measured model's logits before they are mixed. */
  readonly sharpness: number;
  /** Factor of the other model's logits. */
  readonly otherSharpness: number;
  /** Weighs the other model for every input, in place of `weight` and both factors. */
  readonly gate?: StoredGate | undefined;
}

/** What is not found from the outputs at each place alone. */
const OWN_MODEL: readonly Need[] = ["generated", "continued", "gradient"];

/** Throws UserError for metrics that ask one model for more than its outputs. */
export function checkMixedNeeds(needs: ReadonlySet<Need>): void {
  const odd = OWN_MODEL.find((need) => needs.has(need));
  if (odd !== undefined)
    throw new UserError(
      `the metrics need ${odd === "gradient" ? "gradients" : "generated answers"}, which a mixture of two models does not give`,
      "leave out --with, or those metrics",
    );
}

/** Throws UserError unless outputs of both mean the same, and both read the same rows. */
export function checkMixed(model: Reader, other: Reader, files: Record<"model" | "other", Checkpoint["files"]>): void {
  const leaveOut = `name a model like ${model.ref} for --with`;
  if ((model.tools === undefined) !== (other.tools === undefined))
    throw new UserError(`${model.ref} and ${other.ref} cannot be mixed: one of them is a language model`, leaveOut);
  const number = [model, other].find(({ examples }) => examples.predicts !== undefined);
  if (number) throw new UserError(`${number.ref} predicts numbers, and --with mixes probabilities`, "leave out --with");
  if (model.sizes.outputs !== other.sizes.outputs)
    throw new UserError(
      `${model.ref} has ${model.sizes.outputs} ${model.tools ? "outputs" : "classes"}, ${other.ref} ${other.sizes.outputs}`,
      leaveOut,
    );
  const [shape, theirs] = [model, other].map(({ examples }) => examples.shape?.join(" x "));
  const [text, otherText] = [model.examples.text, other.examples.text];
  if (shape !== theirs || (text === undefined) !== (otherText === undefined) || text?.types !== otherText?.types)
    throw new UserError(
      `${model.ref} reads ${shape ?? "tokens"}, ${other.ref} ${theirs ?? "tokens"} of another kind`,
      leaveOut,
    );
  const [labels, others] = [text, otherText].map((found) => JSON.stringify(Object.entries(found?.labels ?? {}).sort()));
  if (labels !== others)
    throw new UserError(`${model.ref} and ${other.ref} name their classes differently (id2label)`, leaveOut);
  if (model.tools || text) {
    const [outputs, otherOutputs] = [
      text?.vocabulary ?? model.sizes.outputs,
      otherText?.vocabulary ?? other.sizes.outputs,
    ];
    const clash = tokenClash(
      { ref: model.ref, outputs, files: files.model },
      { ref: other.ref, outputs: otherOutputs, files: files.other },
    );
    if (clash) throw new UserError(clash.message, leaveOut);
  }
  const [length, most] = [model, other].map(
    ({ tools, examples }) => tools?.encode.maxLength ?? examples.text?.maxLength,
  );
  if (length !== undefined && most !== undefined && length > most)
    throw new UserError(
      `${model.ref} reads rows of up to ${length} tokens, ${other.ref} of ${most}`,
      `give --max-length ${most}`,
    );
}
