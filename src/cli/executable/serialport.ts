/**
 * Stands in for the package serialport in the executable: a part that is loaded by itself has to
 * say by name what it exports, and the package's entry does not.
 */
export { SerialPort } from 'serialport'
