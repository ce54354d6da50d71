/** One kibibyte, in bytes. */
export const KiB = 1024;
/** One mebibyte, in bytes. */
export const MiB: number = 1024 * KiB;
/** One gibibyte, in bytes. */
export const GiB: number = 1024 * MiB;
/** One tebibyte, in bytes. */
export const TiB: number = 1024 * GiB;
