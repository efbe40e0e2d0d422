/** Sizes as people write them. */
import { UserError } from "../errors.ts";

/** "5GB", "300M" or bytes; mergekit writes 5B for 5e9. Throws UserError that names `flag`. */
export function parseSize(text: string, flag: string): number {
  const parts = /^(\d+(?:\.\d+)?)\s*([kmgtb]?)(?:i?b)?$/i.exec(text.trim());
  const bytes = parts
    ? Number(parts[1]) * ({ k: 1e3, m: 1e6, g: 1e9, b: 1e9, t: 1e12 }[parts[2]!.toLowerCase()] ?? 1)
    : 0;
  if (!(bytes >= 1)) throw new UserError(`--${flag} ${text} is not a size`, "for example 5GB or 300MB");
  return bytes;
}
