/** `evaluate --method`: every model is measured by a rule over what it says and what others say. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { DecoderMethod } from "../run/combining/contract.ts";
import { checkModelCount, makeRule, viewed } from "../run/combining/rule.ts";
import { checkTogether } from "../run/combining/together.ts";
import type { CombinedWith } from "../run/measuring/loaded-model.ts";
import type { Reader } from "../run/scoring/read-rows.ts";
import type { Need } from "../run/scoring/scored-row.ts";
import type { EvaluateOptions } from "./options.ts";

/** An open model, by what it is to the evaluation. */
interface Named {
  readonly role: string;
  readonly checkpoint: Checkpoint;
  readonly reader: Reader;
}

/** What is found from one model's weights alone. */
const OWN_MODEL: readonly Need[] = ["gradient", "draft"];

/** Throws UserError for options and metrics that ask for one model, where a rule combines several views. */
export function checkCombined(method: DecoderMethod, options: EvaluateOptions, needs: ReadonlySet<Need>): void {
  const { attack, probe, dump, pass, mix, mix_gate, quantize } = options;
  const given = {
    ...{ attack, probe, dump, pass: pass || undefined, mix: mix === "probabilities" ? undefined : mix, quantize },
    "mix-gate": mix_gate,
  };
  const odd = Object.entries(given).find(([, value]) => value !== undefined);
  if (odd)
    throw new UserError(
      `--${odd[0]} cannot be combined with --method, which measures several views as one`,
      "run them apart",
    );
  checkModelCount(method, 1 + (options.with?.length ?? 0));
  const need = OWN_MODEL.find((one) => needs.has(one));
  if (need !== undefined)
    throw new UserError(
      `the metrics need ${need === "draft" ? "a model of its own beside a draft" : "gradients"}, which --method ${method.name} does not give`,
      "leave out --method, or those metrics",
    );
}

/** The models of `--with` taken out of the list, and given to every model that is measured. Throws UserError. */
export function withRule<M extends Named>(
  all: readonly M[],
  bound: Bound<DecoderMethod>,
  info: (text: string) => void,
): (M & { readonly combined?: CombinedWith })[] {
  const others = all.filter(({ role }) => role === "with");
  return all.flatMap((model) => {
    if (model.role === "with") return [];
    if (model.role !== "model") return [model];
    const readers = [model, ...others].map(({ reader }) => reader);
    checkTogether(model.reader, readers.slice(1));
    const rule = makeRule(bound, viewed(readers), model.reader.tools?.tokenizer);
    if (rule.remark) info(rule.remark);
    return [{ ...model, combined: { rule, others: others.map(({ checkpoint }) => checkpoint) } }];
  });
}
