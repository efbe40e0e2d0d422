/** Packages that only some runs need: loaded when they are, so that all others start without them. */
import { UserError } from "./errors.ts";

/**
 * Imports a package. Throws UserError (exit 1), saying what needs it, when it is not installed.
 *
 *   const { Template } = await library<typeof import("@huggingface/jinja")>("@huggingface/jinja", "a chat template");
 */
export async function library<T>(name: string, purpose: string): Promise<T> {
  try {
    return (await import(name)) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    const message = `${purpose} needs the package ${name}, which is not installed`;
    throw new UserError(message, "run `bun install` in ingot's folder, without --production", 1);
  }
}
