<?php
// Work for the processor: pi as the integral of 4 / (1 + x^2) from 0 to 1, by n rectangles.
header('Content-Type: text/plain; charset=utf-8');
$n = filter_var($_GET['n'] ?? 100000, FILTER_VALIDATE_INT, ['options' => ['min_range' => 1, 'max_range' => 10000000]]);
if ($n === false) {
    http_response_code(400);
    exit("n: a whole number from 1 to 10000000\n");
}
$width = 1.0 / $n;
$sum = 0.0;
for ($i = 0; $i < $n; $i++) {
    $x = ($i + 0.5) * $width;
    $sum += 4.0 / (1.0 + $x * $x);
}
printf("pi is about %.12f with %d intervals, by %s\n", $sum * $width, $n, getenv('RELEVO_SERVER') ?: gethostname());
