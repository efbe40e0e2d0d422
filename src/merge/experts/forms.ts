/** The layouts of mixtures that are built, and which of them a recipe means. */
import { UserError } from "../../errors.ts";
import type { ExpertForm } from "./form.ts";
import { form as deepseek } from "./forms/deepseek.ts";
import { form as mixtral } from "./forms/mixtral.ts";
import { form as olmoe } from "./forms/olmoe.ts";
import { form as qwen2Moe } from "./forms/qwen2-moe.ts";
import { form as qwen3Moe } from "./forms/qwen3-moe.ts";

/** In the order in which they are tried where a recipe names none. */
export const FORMS: readonly ExpertForm[] = [mixtral, deepseek, qwen2Moe, qwen3Moe, olmoe];

const plain = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]/g, "");

/** What each is made of, for messages. */
const table = (): string => FORMS.map(({ title, from }) => `${title} of ${from.join(" or ")}`).join(", ");

const LATENT = /^deepseek_?v?[23]|deepseekv[23]/i;

/** The layouts whose names begin as a recipe's `architecture` does, as mergekit takes it. Throws UserError. */
function named(architecture: string): readonly ExpertForm[] {
  if (LATENT.test(architecture))
    throw new UserError(
      `architecture ${architecture}: DeepSeek-V2 and V3 have latent attention, which no dense model has`,
      "DeepSeek-MoE (deepseek) is the layout with Llama's attention",
    );
  const wanted = plain(architecture);
  const found = FORMS.filter(({ name, title }) => [plain(name), plain(title)].some((own) => own.startsWith(wanted)));
  if (wanted === "" || found.length === 0)
    throw new UserError(
      `architecture ${architecture} is no layout that mixtures are built in`,
      `known: ${FORMS.map(({ name }) => name).join(", ")}`,
    );
  return found;
}

/**
 * The layout of the result. `types` are the `model_type`s of base and experts, `shared` the number of shared experts.
 * Throws UserError that says what fits instead.
 */
export function chooseForm(
  architecture: string | undefined,
  types: readonly { readonly ref: string; readonly type: string }[],
  shared: number,
): ExpertForm {
  const among = architecture === undefined ? FORMS : named(architecture);
  const holds = (form: ExpertForm) => types.every(({ type }) => form.from.includes(type));
  const fitting = among.filter(holds);
  if (fitting.length === 0) {
    const kinds = [...new Set(types.map(({ type }) => type))];
    const what =
      architecture === undefined
        ? "No mixture of experts is built"
        : `${among.map(({ title }) => title).join(" or ")} is not built`;
    const odd =
      types.find(({ type }) => !among.some(({ from }) => from.includes(type))) ??
      types.find(({ type }) => type !== types[0]!.type)!;
    throw new UserError(`${what} of models of type ${kinds.join(" and ")} (${odd.ref})`, `what fits: ${table()}`);
  }
  const found = fitting.find((form) => shared >= form.shared.least && shared <= form.shared.most);
  if (found) return found;
  const wants = fitting.map(({ title, shared: { least, most } }) => {
    const number = least === most ? (least === 0 ? "no" : `exactly ${least}`) : `at most ${most}`;
    return `${title} has ${number} shared expert${most === 1 ? "" : "s"}`;
  });
  throw new UserError(`${shared} shared experts (shared_experts) fit no layout: ${wants.join(", ")}`);
}
