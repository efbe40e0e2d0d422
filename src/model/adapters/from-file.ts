/** The type of an adapter that a file holds. */
import { typeFile } from "../../checkpoint/adapter/format.ts";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { bind } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { AdapterChoice } from "./contract.ts";

/**
 * The same choice as a file holds it: of the file's type, or of one that is written as it, with values that replace
 * those of its config.
 */
export async function fromFile(choice: AdapterChoice, from: Checkpoint): Promise<AdapterChoice> {
  const method = await loadMethod("adapter", typeFile(from), `${from.ref}: peft_type`);
  const { type } = choice;
  return { ...choice, from, type: type.method.peftType === method.peftType ? type : { ...type, method } };
}

/** Tokens that an adapter puts before every sequence; 0 where there is none. Throws UserError. */
export async function tokensAhead(choice: Pick<AdapterChoice, "type" | "from"> | undefined): Promise<number> {
  return (await choice?.type.method.ahead?.(choice.type.values, choice.from)) ?? 0;
}

/** An adapter that is run as its file holds it. */
export async function liveChoice(from: Checkpoint): Promise<AdapterChoice> {
  const method = await loadMethod("adapter", typeFile(from), `${from.ref}: peft_type`);
  return { from, type: bind(method, {}), seed: 0 };
}
