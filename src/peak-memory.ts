/** How much memory this process held at most. */
import { readFileSync } from "node:fs";

/**
 * Bytes. On Linux from the kernel's own record: `maxRSS` there begins with what the parent held when it started this
 * process, so a small script started by a large one would seem large. Mapped files count as far as they were touched.
 */
export function peakMemory(): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    if (kilobytes !== undefined) return 1024 * Number(kilobytes);
  } catch {} // not Linux
  return 1024 * process.resourceUsage().maxRSS;
}
