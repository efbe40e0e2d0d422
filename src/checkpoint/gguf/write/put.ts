/** Keys of a GGUF file's metadata under the architecture's name. */
import { f32, type GgufEntries, text, u32 } from "./encode-header.ts";

export class Put {
  constructor(
    readonly entries: GgufEntries,
    private readonly architecture: string,
  ) {}

  u32(key: string, value: number): void {
    this.entries.set(`${this.architecture}.${key}`, u32(value));
  }

  f32(key: string, value: number): void {
    this.entries.set(`${this.architecture}.${key}`, f32(value));
  }

  text(key: string, value: string): void {
    this.entries.set(`${this.architecture}.${key}`, text(value));
  }

  bools(key: string, value: readonly boolean[]): void {
    this.entries.set(`${this.architecture}.${key}`, { type: "bools", value });
  }
}
