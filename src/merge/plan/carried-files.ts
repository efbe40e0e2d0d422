/** The files that go with the result: whose they are, and what of the other models' is left out by that. */
import { UserError } from "../../errors.ts";
import type { NamedModel } from "../../model/names.ts";
import { templateOf } from "../vocabulary/chat-templates.ts";

const chatTemplateOf = (model: NamedModel): string | undefined => {
  const template = templateOf(model.checkpoint.files);
  return template === undefined ? undefined : JSON.stringify(template);
};

const textOf = ({ checkpoint: { files } }: NamedModel, name: string): string | undefined => {
  const bytes = files.get(name);
  return bytes && new TextDecoder().decode(bytes);
};

const KINDS: readonly (readonly [what: string, of: (model: NamedModel) => string | undefined])[] = [
  ["chat template", chatTemplateOf],
  ["generation_config.json", (model) => textOf(model, "generation_config.json")],
];

/**
 * What is left out because the files are the donor's, a line each; `template`: the chat template is the donor's too,
 * and not one that the recipe chooses by itself or with its tokenizer.
 */
export function leftOut(
  donor: NamedModel,
  models: Iterable<NamedModel>,
  { template }: { readonly template: boolean },
): string[] {
  const others = [...models].filter((model) => model !== donor);
  return KINDS.filter(([, of]) => template || of !== chatTemplateOf).flatMap(([what, of]) => {
    const kept = of(donor);
    const lost = others.filter((model) => of(model) !== undefined && of(model) !== kept).map(({ ref }) => ref);
    if (lost.length === 0) return [];
    const have = kept === undefined ? `which has none` : "which has another";
    return [
      `the ${what} of ${lost.join(" and ")} is left out: files are those of ${donor.ref}, ${have}; --files ${lost[0]} takes them from there`,
    ];
  });
}

/** The model that `--files` names, as it was written. Throws UserError when it is not among those merged. */
export function filesDonor(named: string, models: Iterable<NamedModel>): NamedModel {
  const all = [...models];
  const plain = (ref: string) => ref.replace(/\/+$/, "");
  const found = all.find(({ ref }) => plain(ref) === plain(named));
  if (found) return found;
  throw new UserError(`--files ${named} is not among the models`, `they are ${all.map(({ ref }) => ref).join(", ")}`);
}
