<?php
// A picture of exactly 204,800 bytes, painted when asked for: a BMP of 256 x 266 points, filled up with zeros at the end.
const SIZE = 204800;
const WIDTH = 256;
const HEIGHT = 266;
$points = '';
for ($y = 0; $y < HEIGHT; $y++) {
    for ($x = 0; $x < WIDTH; $x++) {
        $points .= chr($x) . chr(($x ^ $y) & 255) . chr(255 - ($y & 255));
    }
}
$head = 'BM' . pack('VvvV', SIZE, 0, 0, 54) . pack('VVVvvVVVVVV', 40, WIDTH, HEIGHT, 1, 24, 0, strlen($points), 2835, 2835, 0, 0);
header('Content-Type: image/bmp');
header('Content-Length: ' . SIZE);
echo str_pad($head . $points, SIZE, "\0");
