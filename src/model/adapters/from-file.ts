/** The type of an adapter that a file holds. */
import { parseObject } from "../../checkpoint/adapter/config.ts";
import { BANK_TYPE, peftTypeOf, typeFile } from "../../checkpoint/adapter/format.ts";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import { bind } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { BANK } from "./bank/bank.ts";
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

/** The same file, with all rows of one task. Throws UserError for an adapter that does not go by tasks. */
export async function ofTask(from: Checkpoint, task: number): Promise<Checkpoint> {
  const { title, taskKey } = await loadMethod("adapter", typeFile(from), `${from.ref}: peft_type`);
  if (taskKey === undefined)
    throw new UserError(`${from.ref} is ${title}, which does not go by tasks`, "leave the task out");
  const json = { ...parseObject(from.files.get("adapter_config.json")!, `${from.ref}: adapter_config.json`) };
  const config = new TextEncoder().encode(`${JSON.stringify({ ...json, [taskKey]: task }, null, 2)}\n`);
  return { ...from, files: new Map(from.files).set("adapter_config.json", config), close: () => from.close() };
}

/** An adapter, or a bank of them, that is run as its file holds it. */
export async function liveChoice(from: Checkpoint): Promise<AdapterChoice> {
  if (peftTypeOf(from) === BANK_TYPE) return { from, type: bind(BANK, {}), seed: 0 };
  const method = await loadMethod("adapter", typeFile(from), `${from.ref}: peft_type`);
  return { from, type: bind(method, {}), seed: 0 };
}
