/** What all who take part in a run must agree on, and how they find out. */
import { randomBytes } from "node:crypto";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject, parseJson } from "../../json.ts";
import type { Address } from "./address.ts";
import type { Board } from "./board.ts";
import { Seal, type Subject } from "./envelope.ts";

const SUBJECT: Subject = { kind: "settings", round: 0, task: 0, from: "" };

/** What signs messages: the text of an environment variable, else the password. Throws UserError without either. */
export function secretOf({ password }: Address, variable: string, environment = process.env): string {
  const secret = environment[variable] || password;
  if (!secret)
    throw new UserError(
      "nothing signs the messages of this run: the URL has no password",
      `set ${variable} to a text that all who take part know, or give the server a password`,
    );
  return secret;
}

interface Known {
  readonly settings: JsonObject;
  readonly nonce: string;
}

/** Reads what was agreed on, and begins to sign by it; undefined where nothing is there. Throws UserError. */
async function known(board: Board, address: Address, secret: string): Promise<Known | undefined> {
  const text = await board.connection.send("GET", board.key("settings"));
  if (typeof text !== "string") return undefined;
  const damaged = new UserError(
    `the settings at ${address.told} are none of a run`,
    "remove them, or choose another name",
  );
  const { value } = parseJson(text, `the settings at ${address.told}`);
  if (!isObject(value)) throw damaged;
  const { said, nonce, signature } = value;
  if (typeof said !== "string" || typeof nonce !== "string" || typeof signature !== "string") throw damaged;
  const seal = new Seal(secret, address.run, nonce);
  const fault = seal.fault(SUBJECT, Buffer.from(said), signature);
  if (fault !== undefined)
    throw new UserError(`the settings at ${address.told} are refused: ${fault}`, "all who take part need the same key");
  const settings = parseJson(said, `the settings at ${address.told}`).value;
  if (!isObject(settings)) throw damaged;
  board.seal = seal;
  return { settings, nonce };
}

/** Throws UserError for the first setting that differs. */
function compare(theirs: JsonObject, own: JsonObject, { told }: Address): void {
  for (const key of new Set([...Object.keys(theirs), ...Object.keys(own)])) {
    const [then, now] = [JSON.stringify(theirs[key]), JSON.stringify(own[key])];
    if (then === now) continue;
    throw new UserError(
      `the run at ${told} has ${key} ${then ?? "not set"}, and this one ${now ?? "not set"}`,
      "take part with the command of the run, or choose another name for another run",
    );
  }
}

/** Begins a run, or goes on with it; says which. Throws UserError for another run of this name. */
export async function beginRun(
  board: Board,
  address: Address,
  secret: string,
  own: JsonObject,
): Promise<"new" | "known"> {
  const before = await known(board, address, secret);
  if (before) {
    compare(before.settings, own, address);
    return "known";
  }
  const nonce = randomBytes(12).toString("hex");
  const said = JSON.stringify(own);
  const signature = new Seal(secret, address.run, nonce).sign(SUBJECT, Buffer.from(said));
  const text = JSON.stringify({ said, nonce, signature });
  await board.connection.send("SET", board.key("settings"), text, "NX");
  const after = await known(board, address, secret);
  if (after) compare(after.settings, own, address);
  return after?.nonce === nonce ? "new" : "known";
}

/** Waits until there is a run, for `wait` seconds at most. Throws UserError where it is another. */
export async function awaitRun(
  board: Board,
  address: Address,
  secret: string,
  own: JsonObject,
  { wait, signal }: { readonly wait: number; readonly signal: AbortSignal },
): Promise<void> {
  const began = performance.now();
  for (;;) {
    signal.throwIfAborted();
    const found = await known(board, address, secret);
    if (found) return compare(found.settings, own, address);
    if (performance.now() - began > 1000 * wait)
      throw new UserError(
        `there is no run at ${address.told} after ${wait} s`,
        "start the same command without --worker",
      );
    await Bun.sleep(250);
  }
}
