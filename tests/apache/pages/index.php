<?php
// Who answered, when, and who asked: as the pages of the web clusters that these tests repeat.
$text = fn($value) => htmlspecialchars((string) $value, ENT_QUOTES);
$name = getenv('RELEVO_SERVER') ?: gethostname();
?>
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title><?= $text($name) ?></title></head>
<body>
<h1><?= $text($name) ?></h1>
<p>Date: <?= gmdate('Y-m-d') ?></p>
<p>Time: <?= gmdate('H:i:s') ?> UTC</p>
<p>Server: <?= $text($name) ?></p>
<p>Server address: <?= $text($_SERVER['SERVER_ADDR']) ?></p>
<p>Client address: <?= $text($_SERVER['REMOTE_ADDR']) ?></p>
<p>Forwarded for: <?= $text($_SERVER['HTTP_X_FORWARDED_FOR'] ?? '-') ?></p>
<p>Host asked for: <?= $text($_SERVER['HTTP_HOST'] ?? '-') ?></p>
</body>
</html>
