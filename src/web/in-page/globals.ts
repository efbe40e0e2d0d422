/** Names that the sources expect of Bun and that a browser lacks. Imported before everything else. */
import { Buffer } from "node:buffer";
import stringWidth from "string-width";

Object.assign(globalThis, {
  Buffer,
  Bun: { stringWidth },
  process: { env: {}, argv: [], platform: "browser", stdout: {}, cwd: () => "/" },
});
