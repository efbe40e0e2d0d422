/** Files of rows that live as long as a test file. */
import { afterAll } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** A folder that is removed after the tests of the file that calls this; gives a function that writes files into it. */
export function temporaryFiles(): (name: string, content: string | Uint8Array) => string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-data-"));
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
  return (name, content) => {
    const file = path.join(folder, name);
    fs.writeFileSync(file, content);
    return file;
  };
}

/** What a promise is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<Error & { hint?: string }> {
  return promise.then(
    () => {
      throw new Error("expected a rejection");
    },
    (error) => error as Error,
  );
}

/** Whether a package that only some runs need can be loaded. */
export const installed = (name: string): Promise<boolean> =>
  import(name).then(
    () => true,
    () => false,
  );
