/*
 * A frame: u32 byte length of what follows, u8 type, u8 flags (0), u32 sequence, payload. Numbers are big-endian.
 */

/** Bytes before the payload. */
export const FRAME_HEAD = 10;
/** Bytes before the payload that the length counts. */
export const COUNTED_HEAD = 6;

/**
 * Longest frame before the welcome, in bytes, counted as the length field counts: what a stranger can make the other
 * side hold. Whatever may be long, such as the names of jobs, comes after the welcome.
 */
export const HANDSHAKE_FRAME = 4 * 1024;
/**
 * Longest frame after the welcome, unless the transport was told otherwise. A result carries args and result, each up
 * to DEFAULT_TEXT_LIMIT; a smaller frame would leave a job that ended with no way to say so.
 */
export const DEFAULT_FRAME = 2 * 1024 * 1024;
/** No setting can go beyond this. */
export const LARGEST_FRAME = 16 * 1024 * 1024;

/** Milliseconds a lost node may ask to be waited for, a week: so long a distributor may have to remember it. */
export const LONGEST_HANDOFF = 604_800_000;
