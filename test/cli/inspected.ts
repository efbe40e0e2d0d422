/** The inspect script run as a process, and what it looks at: the small checkpoints of test/golden/merge/inputs. */
import { join } from "node:path";
import { run } from "./fixtures/run.ts";

export const ROOT = join(import.meta.dir, "../..");
export const INPUTS = join(ROOT, "test/golden/merge/inputs");
export const TINY = join(INPUTS, "tiny-f32");
export const INSPECT = join(ROOT, "scripts/inspect.ts");

export const inspect = (...argv: string[]) => run([...argv, "-q"], {}, INSPECT);

/** What `--json` prints. */
export const json = async (...argv: string[]) => JSON.parse((await inspect(...argv, "--json")).out);

export const lines = (text: string): string[] => text.trimEnd().split("\n");
