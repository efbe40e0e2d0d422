/**
 * Milliseconds after which a test calls its work endless: what would take hours were it quadratic, or for ever. It is
 * no measure of speed, and far above what the slowest machine takes.
 */
export const HANG_MS = 60_000;
