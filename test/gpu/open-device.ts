/** Run by test/gpu/device.test.ts in its own process: opens a device and prints, as JSON, what came of it. */
import { openDevice } from "../../src/gpu/device.ts";

try {
  const { adapter } = await openDevice(process.argv[2]);
  console.log(JSON.stringify({ type: adapter.type, backend: adapter.backend }));
} catch (error) {
  const { name, message, hint, exitCode } = error as Error & { hint?: string; exitCode?: number };
  console.log(JSON.stringify({ name, message, hint, exitCode }));
}
