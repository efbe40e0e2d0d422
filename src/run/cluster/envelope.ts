/** Messages of a run: what they say, who says it, and a signature over both. */
import { createHash, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

/** What a signature covers besides the payload. */
export interface Subject {
  readonly kind: "settings" | "task" | "answer" | "round" | "word" | "checkpoint";
  readonly round: number;
  readonly task: number;
  readonly from: string;
}

/** Fields of a message by name, as texts. */
export type Fields = Readonly<Record<string, string>>;

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64").replace(/=+$/, "");

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Signs and checks messages of one run. `nonce` tells it from others of its name, whose messages it refuses. */
export class Seal {
  readonly #key: Buffer;

  constructor(secret: string, run: string, nonce: string) {
    this.#key = Buffer.from(hkdfSync("sha256", secret, nonce, `ingot cluster ${run}`, 32));
  }

  #signature({ kind, round, task, from }: Subject, payload: Uint8Array): Buffer {
    const head = JSON.stringify([kind, round, task, from, payload.length]);
    return createHmac("sha256", this.#key).update(`${head}\n`).update(payload).digest().subarray(0, 16);
  }

  /** Signature of a payload, 22 letters. */
  sign(subject: Subject, payload: Uint8Array): string {
    return base64(this.#signature(subject, payload));
  }

  /** What is wrong with a message; undefined where it is as it was signed. */
  fault(subject: Subject, payload: Uint8Array, signature: string | undefined): string | undefined {
    if (signature === undefined) return "it is not signed";
    const given = Buffer.from(signature, "base64");
    const own = this.#signature(subject, payload);
    if (given.length === own.length && timingSafeEqual(given, own)) return undefined;
    return "it was changed on the way, or is signed with another key";
  }
}

/** Several payloads as one: how many, and before each its length, in digits to the base of 128. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const count = (n: number): Uint8Array => {
    const digits: number[] = [];
    for (let rest = n; ; rest = Math.floor(rest / 128)) {
      digits.push(rest < 128 ? rest : 128 + (rest % 128));
      if (rest < 128) return Uint8Array.from(digits);
    }
  };
  return Buffer.concat([count(parts.length), ...parts.flatMap((part) => [count(part.length), part])]);
}

/** What `joined` made; undefined of other bytes. */
export function parted(bytes: Uint8Array): Uint8Array[] | undefined {
  let at = 0;
  const count = (): number => {
    let n = 0;
    for (let scale = 1; at < bytes.length && scale < 2 ** 49; scale *= 128) {
      const digit = bytes[at++]!;
      n += (digit % 128) * scale;
      if (digit < 128) return n;
    }
    return Number.NaN;
  };
  const parts: Uint8Array[] = [];
  const total = count();
  for (let i = 0; i < total; i++) {
    const length = count();
    if (!(at + length <= bytes.length)) return undefined;
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return at === bytes.length && parts.length === total ? parts : undefined;
}
