/** Numbers of a GGUF file's metadata under the architecture's name. */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { GgufMetadata } from "./header.ts";
import { numberOf, shortest } from "./numbers.ts";

export class GgufKeys {
  constructor(
    private readonly metadata: GgufMetadata,
    private readonly architecture: string,
    private readonly ref: string,
  ) {}

  number(key: string): number | undefined {
    return numberOf(this.metadata.get(`${this.architecture}.${key}`));
  }

  /** The decimal that was rounded to f32, or `otherwise`. */
  decimal(key: string, otherwise: number): number {
    return shortest(this.number(key) ?? otherwise);
  }

  /** The value as it stands. */
  stated(key: string): unknown {
    return this.metadata.get(`${this.architecture}.${key}`);
  }

  has(key: string): boolean {
    return this.number(key) !== undefined;
  }

  /** A whole number above 0. Throws UserError when it is absent or something else. */
  required(key: string): number {
    const value = this.number(key);
    if (value !== undefined && Number.isSafeInteger(value) && value > 0) return value;
    const found = this.metadata.get(`${this.architecture}.${key}`);
    throw new UserError(
      `${this.ref}: ${this.architecture}.${key} is ${found === undefined ? "absent" : show(String(found))}, expected a whole number above 0`,
      "the file is damaged",
    );
  }

  /** Refuses a count that the tensors contradict. */
  agree(key: string, tensors: number, what: string): void {
    const stated = this.required(key);
    if (stated === tensors) return;
    throw new UserError(
      `${this.ref}: ${this.architecture}.${key} is ${stated}, but ${what} ${tensors}`,
      "the file is damaged, or a part of a model",
    );
  }
}
