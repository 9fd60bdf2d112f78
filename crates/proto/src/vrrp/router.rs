//! One router of a group: what it heard on its network and when its Active_Down timer runs out.
